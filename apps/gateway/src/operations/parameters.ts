import { z } from 'zod'

/** Parameters that several operations share. */

/** Anything that is not a known task's id is answered alike (G11), so the shape is not checked here. */
export const TaskIdParameter = z.string().min(1).max(128).describe('Id of the task, as opencode_execute_task returned it: "task-" and 26 characters.')

export const StatusField = z
  .enum(['queued', 'running', 'paused', 'input_required', 'completed', 'failed', 'timeout', 'cancelled'])
  .describe('State of the task. completed, failed, timeout and cancelled are ends.')

export const Timestamp = z.string().describe('RFC 3339, UTC')

/** Ledger time (ms since the epoch) as doors show it. */
export function toTimestamp(ms: number): string {
  return new Date(ms).toISOString()
}
