import { z } from 'zod'

export const TASK_STATES = ['queued', 'running', 'paused', 'input_required', 'completed', 'failed', 'timeout', 'cancelled'] as const
export const END_STATES = ['completed', 'failed', 'timeout', 'cancelled'] as const

export const TaskState = z.enum(TASK_STATES)
export type TaskState = z.infer<typeof TaskState>
export const EndState = z.enum(END_STATES)
export type EndState = z.infer<typeof EndState>

/**
 * Every legal change of state. The ledger's Lua gets this very table as an argument, so there is no second copy.
 * `running → running` is a takeover by another worker; `queued` is re-entered with a reason.
 */
export const TRANSITIONS: Readonly<Record<TaskState, readonly TaskState[]>> = {
  queued: ['running', 'paused', 'failed', 'timeout', 'cancelled'],
  running: ['running', 'queued', 'paused', 'input_required', 'completed', 'failed', 'timeout', 'cancelled'],
  paused: ['queued', 'running', 'input_required', 'failed', 'timeout', 'cancelled', 'paused'],
  input_required: ['queued', 'running', 'paused', 'failed', 'timeout', 'cancelled'],
  completed: [],
  failed: [],
  timeout: [],
  cancelled: [],
}

/** Whether a task in this state is over (G3: nothing leads out of an end). */
export function isOver(state: TaskState): state is EndState {
  return TRANSITIONS[state].length === 0
}

/** Whether the state table allows this change. */
export function mayBecome(from: TaskState, to: TaskState): boolean {
  return TRANSITIONS[from].includes(to)
}
