import { type Failure, isWorthRetrying, type Task } from '@longshore/contracts'

export type NextStep = { kind: 'retry'; delayMs: number } | { kind: 'end' }

/**
 * What follows a failed attempt: another one later when the cause may pass, attempts are left and the deadline allows it.
 * @param isCounted whether the attempt counts: not while its place is known to be in trouble
 * @param now Redis time in ms
 * @param retryDelayMs before the second attempt; doubles with each further one, plus up to a quarter of chance
 * @param chance 0 to 1: many tasks that failed together do not come back together
 */
export function afterFailure(options: {
  failure: Failure; task: Pick<Task, 'attempt' | 'max_attempts' | 'deadline_at'>; isCounted: boolean; now: number; retryDelayMs: number; chance: number
}): NextStep {
  const { failure, task, isCounted, now, retryDelayMs, chance } = options
  if (!isWorthRetrying(failure.code) || (isCounted && task.attempt >= task.max_attempts)) return { kind: 'end' }
  const delayMs = Math.round(retryDelayMs * 2 ** Math.max(0, task.attempt - 1) * (1 + chance / 4))
  if (task.deadline_at !== undefined && now + delayMs >= task.deadline_at) return { kind: 'end' }
  return { kind: 'retry', delayMs }
}
