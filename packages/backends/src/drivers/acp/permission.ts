import type { RequestPermissionRequest, RequestPermissionResponse } from '@agentclientprotocol/sdk'

/** What an agent hears when it asks whether it may do something. */
export type PermissionPolicy = 'allow' | 'deny'

/**
 * The answer to an agent's own permission prompt, without asking anybody: an unanswered one blocks for ever. Once, not always: the next
 * question is decided anew. The place is the boundary, not this.
 */
export function decidePermission({ options }: Pick<RequestPermissionRequest, 'options'>, policy: PermissionPolicy): RequestPermissionResponse {
  const kinds = policy === 'allow' ? ['allow_once', 'allow_always'] : ['reject_once', 'reject_always']
  const chosen = kinds.map((kind) => options.find((option) => option.kind === kind)).find((option) => option !== undefined)
  // An agent that offers no such answer is told that nobody answers: it may do nothing without one.
  return chosen === undefined ? { outcome: { outcome: 'cancelled' } } : { outcome: { outcome: 'selected', optionId: chosen.optionId } }
}
