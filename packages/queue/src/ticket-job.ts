import type { JobsOptions } from 'bullmq'
import { z } from 'zod'

import { Ticket, ticketId } from '@longshore/contracts'

/** The newest task shape that this build understands; a ticket that needs more is handed back for a newer worker. */
export const WORKER_VERSION = 5

/** Ended tickets stay a while for people who look at Bull Board; nothing of ours reads them. Ages in seconds. */
const KEEP_COMPLETED = { age: 3_600, count: 1_000 }
const KEEP_FAILED = { age: 24 * 3_600, count: 5_000 }

export interface AddOptions {
  /** Backoff of a retry. Default 0. */
  delayMs?: number
  /** Rank among waiting tickets: 1 + the agent's outstanding count gives a fair share. Default: first come, first served. */
  priority?: number
}

/** A ticket as BullMQ takes it. Its id makes a second `add` a no-op; the name is for people. A takeover stands before all others, whatever their rank. */
export function jobOf(ticket: Ticket, { delayMs = 0, priority }: AddOptions = {}): { name: string; data: Ticket; opts: JobsOptions } {
  return {
    name: `${ticket.title} (${ticket.task_id})`,
    data: ticket,
    opts: {
      jobId: ticketId(ticket),
      attempts: 1,
      removeOnComplete: KEEP_COMPLETED,
      removeOnFail: KEEP_FAILED,
      ...(delayMs > 0 ? { delay: Math.ceil(delayMs) } : {}),
      ...(ticket.takeover === true ? { lifo: true } : priority === undefined ? {} : { priority: Math.min(Math.max(1, Math.trunc(priority)), 2_097_151) }),
    },
  }
}

export type Judged =
  | { kind: 'ticket'; ticket: Ticket }
  /** A newer build's ticket: another worker will understand it. */
  | { kind: 'too_new' }
  /** Not ours, or a copy under another id: running it could take a task away from its owner. */
  | { kind: 'refused'; reason: string }

const Needs = z.object({ v: z.int(), min_worker: z.int() })

/** What a BullMQ job is to us. Its data is outside input: people can add jobs by hand in Bull Board. */
export function judgeJob(id: string | undefined, data: unknown): Judged {
  const needs = Needs.safeParse(data)
  if (needs.success && (needs.data.v > 1 || needs.data.min_worker > WORKER_VERSION)) return { kind: 'too_new' }
  const parsed = Ticket.safeParse(data)
  if (!parsed.success) return { kind: 'refused', reason: 'the data of this job is not a ticket' }
  if (ticketId(parsed.data) !== id) return { kind: 'refused', reason: `a ticket's job id is ${ticketId(parsed.data)}, this copy does nothing` }
  return { kind: 'ticket', ticket: parsed.data }
}

/** The inverse of `ticketId`; undefined for any other job id. */
export function parseTicketId(id: string): Pick<Ticket, 'task_id' | 'n'> | undefined {
  const dash = id.lastIndexOf('-')
  const parsed = Ticket.pick({ task_id: true, n: true }).safeParse({ task_id: id.slice(0, dash), n: Number(id.slice(dash + 1)) })
  return parsed.data
}
