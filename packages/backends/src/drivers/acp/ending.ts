import { RequestError } from '@agentclientprotocol/sdk'
import { type FailureCode, TaskFailure } from '@longshore/contracts'
import { clip } from '../../text.ts'

const REASON_BYTES = 2_000
/** The protocol's own code for an agent that wants a login first. */
const AUTH_REQUIRED = -32_000

/** Why a turn ended, as the failure of a task; undefined: it is done. */
export function failureOfStop(reason: unknown): TaskFailure | undefined {
  switch (reason) {
    case 'end_turn': return undefined
    case 'max_tokens': return new TaskFailure('output_truncated', 'the model stopped early: max_tokens')
    case 'cancelled': return new TaskFailure('backend_lost', 'the agent was told by somebody else to stop') // who cancels on our behalf does not listen any more
    case 'refusal': return new TaskFailure('agent_error', 'the agent refused to go on with the task')
    case 'max_turn_requests':
    default: return new TaskFailure('agent_error', `the agent ended with "${clip(String(reason), 100)}"`)
  }
}

/** What an agent answered instead of doing what it was asked; anything else that was thrown stays what it is. */
export function failureOfRefusal(error: unknown, method: string): unknown {
  if (!(error instanceof RequestError)) return error
  const code: FailureCode = error.code === AUTH_REQUIRED ? 'provider_rejected' : 'agent_error'
  const next = error.code === AUTH_REQUIRED ? ' (it wants a login: give its profile an env with the provider\'s key, and auth_method where it needs one)' : ''
  return new TaskFailure(code, `the agent refused ${method}: ${clip(error.message, REASON_BYTES)}${next}`, { cause: error })
}
