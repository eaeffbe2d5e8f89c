import { type Clock, type EventType, isCallbackAllowed } from '@longshore/contracts'
import { bySystem, type Resolve } from '@longshore/egress'
import type { Frozen } from '../outbox/frozen.ts'
import type { Outcome, Sink } from '../sink.ts'
import { draftHooks } from './draft-hooks.ts'
import type { Gone } from './gone.ts'
import { type Answer, judgeAnswer } from './judge-answer.ts'
import { postHook } from './post-hook.ts'
import type { Sign } from './sign-hook.ts'
import { wayToStranger } from './way-to.ts'

export interface WebhookSinkDeps {
  /** The deployment's receivers, normalised. */
  to: readonly string[]
  /** Addresses that tasks may name (WEBHOOK_CALLBACK_ALLOW). */
  callbacks: readonly string[]
  events: readonly EventType[]
  /** For the deployment's receivers, and for those that tasks named: these are strangers to each other. */
  sign: Sign
  signForTasks: Sign
  timeoutMs: number
  giveUpMs: number
  gone: Gone
  now: Clock
  random: () => number
  signal: AbortSignal
  resolve?: Resolve
}

/** Posts events to webhooks, each at least once under the same `webhook-id` (G8). */
export function createWebhookSink(deps: WebhookSinkDeps): Sink {
  const wish = { to: deps.to, isAllowed: (url: string) => isCallbackAllowed(url, deps.callbacks), events: new Set(deps.events) }
  return {
    name: 'webhook',
    draft: (task, view, events) => draftHooks(wish, task, view, events),
    // What one agent named holds up neither the deployment's own nor what others named, though it be on the same host (G11).
    laneOf: (letter) => (letter.kind === 'reply' ? letter.room : laneTo(letter.to ?? '', deps.to.includes(letter.to ?? '') ? undefined : letter.agent_id)),
    isStranger: (lane) => !deps.to.some((url) => laneTo(url, undefined) === lane),
    open: () => Promise.resolve({ kind: 'sent' }),
    freeze: (notice) => ({ v: 1, notice, txn: notice.kind === 'reply' ? notice.id : notice.event_id, place: notice.kind === 'reply' ? '' : notice.to ?? '', account: 'webhook', content: {}, frozen_at: deps.now() }),
    send: (frozen, isRetry) => send(deps, frozen, isRetry),
  }
}

const laneTo = (url: string, namedBy: string | undefined): string => [new URL(url).origin, ...(namedBy === undefined ? [] : [namedBy])].join(' ')

async function send(deps: WebhookSinkDeps, frozen: Frozen, isRetry: boolean): Promise<Outcome> {
  const { notice, place, txn } = frozen
  if (notice.kind === 'reply') return { kind: 'refused', reason: 'webhooks answer nobody' }
  const isOwn = deps.to.includes(place)
  if (!isOwn && !isCallbackAllowed(place, deps.callbacks)) return { kind: 'refused', reason: 'its receiver is no longer among those that the operator allows (WEBHOOK_URL, WEBHOOK_CALLBACK_ALLOW)' }
  if (await deps.gone.has(notice.task_id, place)) return { kind: 'refused', reason: 'the receiver wants nothing more of this task (it answered 410)' }
  const url = new URL(place)
  const way = isOwn ? { kind: 'open' as const, lookup: undefined } : await wayToStranger(url, deps.resolve ?? bySystem)
  if (way.kind === 'closed') return { kind: 'refused', reason: way.reason }
  const sign = isOwn ? deps.sign : deps.signForTasks
  const answer: Answer = way.kind === 'unresolved' ? { fault: way.reason } : await postHook(url, sign(txn, new Date(deps.now()), notice.plain), notice.plain, { ...deps, lookup: way.lookup })
  if ('status' in answer && answer.status === 410) await deps.gone.add(notice.task_id, place)
  const now = deps.now()
  return judgeAnswer(answer, { ageMs: now - happenedAt(frozen), triedMs: now - frozen.frozen_at, isRetry, giveUpMs: deps.giveUpMs, now, random: deps.random() })
}

/** The body says when; it is ours. */
function happenedAt({ notice, frozen_at: frozenAt }: Frozen): number {
  const { timestamp } = JSON.parse(notice.plain) as { timestamp: string }
  return Math.min(Date.parse(timestamp), frozenAt)
}
