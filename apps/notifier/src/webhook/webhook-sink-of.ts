import { outboxPrefix } from '@longshore/outbox'
import type { Settings } from '@longshore/runtime'
import type { Sink } from '../sink.ts'
import type { SinkDeps } from '../sinks-of.ts'
import { createGone } from './gone.ts'
import { createSign } from './sign-hook.ts'
import { createWebhookSink } from './webhook-sink.ts'

export type WebhookSettings = Pick<Settings, 'LONGSHORE_DEPLOYMENT' | 'WEBHOOK_URL' | 'WEBHOOK_SECRET' | 'WEBHOOK_EVENTS' | 'WEBHOOK_CALLBACK_ALLOW' | 'WEBHOOK_CALLBACK_SECRET' | 'WEBHOOK_TIMEOUT_MS' | 'WEBHOOK_GIVE_UP_MS'>

/** undefined: no webhook is asked for. */
export function webhookSinkOf(settings: WebhookSettings, { now, random, signal, redis }: SinkDeps): Sink | undefined {
  const { WEBHOOK_URL: urls, WEBHOOK_CALLBACK_ALLOW: callbacks } = settings
  if (urls.length === 0 && callbacks.length === 0) return undefined
  return createWebhookSink({
    to: urls.map((text) => new URL(text).href),
    callbacks,
    events: settings.WEBHOOK_EVENTS,
    sign: createSign(settings.WEBHOOK_SECRET ?? []),
    signForTasks: createSign(settings.WEBHOOK_CALLBACK_SECRET ?? []),
    timeoutMs: settings.WEBHOOK_TIMEOUT_MS,
    giveUpMs: settings.WEBHOOK_GIVE_UP_MS,
    gone: createGone(redis, outboxPrefix(settings.LONGSHORE_DEPLOYMENT, 'webhook')),
    now, random, signal,
  })
}

/** Of a notifier only: gateways know the addresses and need no secret. */
export function webhookFaults(settings: WebhookSettings): string[] {
  const { WEBHOOK_URL: urls, WEBHOOK_CALLBACK_ALLOW: callbacks, WEBHOOK_SECRET: own = [], WEBHOOK_CALLBACK_SECRET: others = [] } = settings
  return [
    ...(urls.length > 0 && own.length === 0 ? ['WEBHOOK_SECRET: not set, but WEBHOOK_URL needs it'] : []),
    ...(callbacks.length > 0 && others.length === 0 ? ['WEBHOOK_CALLBACK_SECRET: not set, but WEBHOOK_CALLBACK_ALLOW needs it'] : []),
    ...(own.some((secret) => others.includes(secret)) ? ['WEBHOOK_CALLBACK_SECRET: got a secret of WEBHOOK_SECRET, allowed: another one, because whoever verifies with it can sign, too'] : []),
  ]
}
