import { z } from 'zod'

/**
 * Why an attempt failed, and whether trying again can help. Adding a code without saying so does not compile.
 * `later`: the cause is expected to pass by itself. `never`: the same input meets the same end.
 */
const RETRY = {
  provider_busy: 'later', // the model provider's 429, after the agent's own tries
  provider_error: 'later', // the model provider's 5xx or a broken connection to it
  provider_rejected: 'never', // 400, 401, 403, unknown model: configuration, not weather
  backend_unavailable: 'later', // engine or server does not answer
  backend_lost: 'later', // it answered before, and the execution is gone
  bad_credentials: 'never', // the OpenCode server or the engine refused our credentials
  image_missing: 'never', // neither there nor to be pulled: the registry does not know it, or there is none to ask
  image_pull: 'later', // the registry did not answer, or broke off
  out_of_memory: 'later', // the container was killed by its memory limit
  storage_unavailable: 'later', // the workspace's storage failed its probe or is full
  worker_lost: 'later', // the worker died and nothing of the execution could be found again
  permission_rejected: 'never', // the agent asked for something that policy denies, and ended
  output_truncated: 'never', // the model stopped for length or content filter
  agent_error: 'never', // the agent itself ended in error; with a plain command: exit code other than 0
  ticket_lost: 'later', // the queue gave the ticket up (deleted or failed there)
  stalled: 'later', // nothing of the session moved for longer than STALL_MS (STALL_TOOL_MS while a tool runs)
  workspace: 'never', // the repository cannot be had: unknown, refused, not allowed, too large; or the workspace outgrew its limits
  workspace_unreachable: 'later', // the repository's server did not answer, or broke off
  budget: 'never', // the task, or its agent for today, has used what it may
  poison: 'never', // the task cost its workers their lives too often
  not_allowed: 'never', // its profile or one of its choices is none that the worker's settings allow
  internal: 'never', // a defect of ours
} as const satisfies Record<string, 'later' | 'never'>

export type FailureCode = keyof typeof RETRY
export const FAILURE_CODES = Object.keys(RETRY) as [FailureCode, ...FailureCode[]]
export const FailureCode = z.enum(FAILURE_CODES)

/** A failure as data: what travels through Redis. `message` is for people, bounded, without secrets. */
export const Failure = z.object({
  code: FailureCode,
  message: z.string().max(4096),
})
export type Failure = z.infer<typeof Failure>

/** Whether trying again later can help. */
export function isWorthRetrying(code: FailureCode): boolean {
  return RETRY[code] === 'later'
}

/** Thrown inside a worker or backend; becomes a `Failure` at the ledger's border. */
export class TaskFailure extends Error {
  override readonly name = 'TaskFailure'
  readonly code: FailureCode

  constructor(code: FailureCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }

  /** As data, the message cut to what the schema allows. */
  toFailure(): Failure {
    return { code: this.code, message: this.message.slice(0, 4096).toWellFormed() }
  }
}

/** Anything thrown as a `Failure`: a defect of ours unless it says otherwise. */
export function toFailure(thrown: unknown): Failure {
  if (thrown instanceof TaskFailure) return thrown.toFailure()
  const message = thrown instanceof Error ? thrown.message : String(thrown)
  return new TaskFailure('internal', message).toFailure()
}
