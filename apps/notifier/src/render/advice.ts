import type { FailureCode, TimeLimit } from '@longshore/contracts'
import { durationText } from './duration.ts'

const FAILURE_ADVICE: Readonly<Record<FailureCode, string>> = {
  provider_busy: 'The model provider was over its limit through all attempts. Submit again later, or raise the limit there.',
  provider_error: 'The model provider had an error through all attempts. Look at its status page and submit again.',
  provider_rejected: 'The model provider refuses the request. Check its key and the model name, then submit again.',
  backend_unavailable: 'The engine or OpenCode server does not answer. Check that it runs, then submit again.',
  backend_lost: 'The engine or OpenCode server lost the run. Check it for restarts, then submit again.',
  bad_credentials: 'The OpenCode server or engine refuses our credentials. Correct them in the worker\'s settings.',
  image_missing: 'The runner image is neither there nor to be pulled. Build it or correct RUNNER_IMAGE.',
  image_pull: 'The registry of the runner image did not answer through all attempts. Pull the image on the engine, or submit again.',
  stalled: 'The agent showed no sign of life for longer than the stall limit. Look at its last output, then submit again.',
  out_of_memory: 'The container ran out of memory. Raise RUNNER_MEMORY_LIMIT or make the task smaller.',
  storage_unavailable: 'The workspace storage is not usable or full. Check WORKSPACE_DIR on the worker.',
  worker_lost: 'Workers died while they ran it. Look at their logs, then submit again.',
  permission_rejected: 'The agent asked for something that the policy denies. Change the task or the policy.',
  output_truncated: 'The model stopped at its length or content limit. Make the task smaller.',
  agent_error: 'The agent itself ended in error. Its last output says why.',
  ticket_lost: 'The task was removed from the queue. Submit it again.',
  workspace: 'Correct the repository\'s address, ref or credential, or raise the limits of a workspace; the error says which.',
  workspace_unreachable: 'The repository\'s server did not answer through all attempts. Check it, then submit again.',
  budget: 'Raise the budget (of the task, or the agent\'s for a day), make the task smaller, or wait until tomorrow (UTC).',
  poison: 'This task took down several workers and is not tried again. Look at the workers\' logs; then an operator can run it again: longshore replay, with the task\'s id.',
  not_allowed: 'It asks for a profile, model, image or limit that the worker does not allow. Submit it with another, or change the worker\'s settings.',
  internal: 'This is a defect of Longshore. Please report it with the worker\'s log of this task.',
}

const LIMIT_ADVICE: Readonly<Record<TimeLimit, string>> = {
  timeout_ms: 'Submit it again with a larger timeout_ms, or make it smaller.',
  queue_ttl_ms: 'No worker was free in time. Add workers, or submit it again.',
  paused_ttl_ms: 'It stayed paused for too long. Submit it again.',
}

/** One sentence or two: what a person can do about a failure. */
const LIMIT_REACHED: Readonly<Record<TimeLimit, (duration: string) => string>> = {
  timeout_ms: (duration) => `The limit of ${duration} (timeout_ms) was reached.`,
  queue_ttl_ms: (duration) => `It waited for ${duration} (queue_ttl_ms) and no worker started it.`,
  paused_ttl_ms: (duration) => `It was paused for ${duration} (paused_ttl_ms).`,
}

/** What happened, in words, when a limit ended a task. */
export const sayLimit = (limit: TimeLimit, limitMs: number): string => LIMIT_REACHED[limit](durationText(limitMs))
export const adviceOnFailure = (code: FailureCode): string => FAILURE_ADVICE[code]
export const adviceOnLimit = (limit: TimeLimit): string => LIMIT_ADVICE[limit]
