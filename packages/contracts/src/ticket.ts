import { z } from 'zod'
import { AgentId, TaskId } from './ids.ts'
import { Mode } from './mode.ts'
import { ProfileName } from './profile.ts'

/**
 * A BullMQ job: permission to work on a task once. Readable in Bull Board; never the prompt.
 * A ticket that is not its task's current one does nothing.
 */
export const Ticket = z.object({
  v: z.literal(1),
  task_id: TaskId,
  n: z.int().positive(),
  agent_id: AgentId,
  mode: Mode,
  title: z.string(),
  /** Only workers that reach this engine get it: the task's execution lives there. */
  engine_id: z.string().optional(),
  /** Only workers that have this profile get it. Absent: every worker of the mode has it. */
  profile: ProfileName.optional(),
  /** Something of the task runs or is kept: before all others, and beyond a worker's slots (G7). */
  takeover: z.literal(true).optional(),
  /** The least worker version that understands the task. */
  min_worker: z.int().positive(),
})
export type Ticket = z.infer<typeof Ticket>

/** A ticket that the ledger wants in the queue; `due_at` in Redis ms (retry backoff). */
export interface PendingTicket { ticket: Ticket; due_at: number }

/** `<task>-<n>`: unique for ever, since a task never issues a number twice. */
export function ticketId(ticket: Pick<Ticket, 'task_id' | 'n'>): string {
  return `${ticket.task_id}-${ticket.n}`
}
