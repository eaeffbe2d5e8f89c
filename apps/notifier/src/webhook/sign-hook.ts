import { Webhook } from 'standardwebhooks'

/** Header by header what the Standard Webhooks scheme asks for. @param at of this try, not of the event */
export type Sign = (id: string, at: Date, body: string) => Record<string, string>

/** Each secret signs: while one is being changed, receivers may have the old or the new one. */
export function createSign(secrets: readonly string[]): Sign {
  const hooks = secrets.map((secret) => new Webhook(secret))
  return (id, at, body) => ({
    'webhook-id': id,
    'webhook-timestamp': String(Math.floor(at.getTime() / 1_000)),
    'webhook-signature': hooks.map((hook) => hook.sign(id, at, body)).join(' '),
  })
}
