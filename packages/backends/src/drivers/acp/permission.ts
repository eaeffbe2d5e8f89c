import type { RequestPermissionRequest, RequestPermissionResponse } from '@agentclientprotocol/sdk'

/**
 * The answer to an agent's own permission prompt. Once, not always: the next question is decided anew, and an agent that is told "always"
 * would allow more than what was asked. A refusal may be for ever.
 */
export function answerWith({ options }: Pick<RequestPermissionRequest, 'options'>, action: 'allow' | 'deny'): RequestPermissionResponse {
  const kinds = action === 'allow' ? ['allow_once'] : ['reject_once', 'reject_always']
  const chosen = kinds.map((kind) => options.find((option) => option.kind === kind)).find((option) => option !== undefined)
  // An agent that offers no such answer is told that nobody answers: it may do nothing without one.
  return chosen === undefined ? { outcome: { outcome: 'cancelled' } } : { outcome: { outcome: 'selected', optionId: chosen.optionId } }
}
