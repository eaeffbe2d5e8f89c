import type { Log, PendingTicket, Ticket } from '@longshore/contracts'
import { keepRounds, type Rounds } from '@longshore/runtime'

import type { TicketProducer } from './ticket-producer.ts'

/** The part of the ledger that knows which tickets are wanted in the queue. */
export interface PendingTickets {
  pendingTickets(limit: number): Promise<PendingTicket[]>
  ticketAdded(...tickets: Pick<Ticket, 'task_id' | 'n'>[]): Promise<void>
}

export interface DispatchOptions {
  source: PendingTickets
  producer: Pick<TicketProducer, 'addMany' | 'time'>
  log: Log
  /** Default 500 ms. */
  everyMs?: number
}

const BATCH = 200
/** Whoever accepted a task is queueing its first ticket right now; a second one beside it would only cost. */
const ACCEPTED_FIRST_MS = 500

/**
 * Adds what the ledger wants in the queue and nobody has confirmed: retries and handovers, and submits that were cut
 * short (G1). A ticket waits for its time in the ledger: BullMQ's delay is by the clocks of two processes. Runs in every gateway and worker: adding twice is a no-op, a ticket that is not current does nothing.
 */
export function dispatchTickets({ source, producer, log, everyMs = 500 }: DispatchOptions): Rounds {
  const round = async (stopping: AbortSignal) => {
    let added = BATCH
    while (added === BATCH && !stopping.aborted) added = await dispatchOnce(source, producer)
  }
  return keepRounds({ everyMs, round, log, failing: 'tickets could not be dispatched' })
}

/** One batch. @returns how many tickets were added */
export async function dispatchOnce(source: PendingTickets, producer: Pick<TicketProducer, 'addMany' | 'time'>): Promise<number> {
  const pending = await source.pendingTickets(BATCH)
  if (pending.length === 0) return 0
  const now = await producer.time()
  const left = pending.filter(({ ticket, due_at }) => due_at <= now - (ticket.n > 1 ? 0 : ACCEPTED_FIRST_MS))
  if (left.length === 0) return 0
  await producer.addMany(left.map(({ ticket }) => ({ ticket })))
  await source.ticketAdded(...left.map(({ ticket }) => ticket))
  return left.length
}
