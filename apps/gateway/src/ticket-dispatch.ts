import type { Log, Ticket } from '@longshore/contracts'
import type { Ledger } from '@longshore/ledger'
import type { TicketProducer } from '@longshore/queue'

import { describeError } from './door-error.ts'

export interface TicketDispatch {
  /**
   * Brings a ticket into the queue, beside the answer to the caller: the task is accepted already (G1) and stands in the
   * ledger as pending, so whatever fails or dies here, the dispatchers' rounds repeat.
   */
  dispatch(ticket: Ticket): void
  /** Waits for what is under way. */
  idle(): Promise<void>
}

/** Confirmations may be late: they only spare the dispatchers' rounds (every 500 ms) an `add` that changes nothing. */
const CONFIRM_AFTER_MS = 20

/** One round to the queue at a time: what comes meanwhile goes with the next, so many submits at once cost few round trips. */
export function createTicketDispatch({ producer, ledger, log }: { producer: Pick<TicketProducer, 'add'>; ledger: Pick<Ledger, 'ticketAdded'>; log: Log }): TicketDispatch {
  const waiting: Ticket[] = []
  const added: Ticket[] = []
  let rounds: Promise<void> | undefined
  let timer: NodeJS.Timeout | undefined
  const warn = (error: unknown) => log.warn({ err: describeError(error) }, 'tickets could not be queued now; the next round will')
  // BullMQ's bulk call costs twice as much as single ones, and those of one turn leave together, too.
  const add = (tickets: Ticket[]) => Promise.all(tickets.map((ticket) => producer.add(ticket)))
  const run = async () => {
    while (waiting.length > 0) {
      const tickets = waiting.splice(0)
      await add(tickets).then(() => added.push(...tickets), warn)
      timer ??= setTimeout(() => void confirm(), CONFIRM_AFTER_MS)
    }
    rounds = undefined
  }
  const confirm = () => {
    clearTimeout(timer)
    timer = undefined
    return ledger.ticketAdded(...added.splice(0)).catch(warn)
  }
  return {
    dispatch(ticket) {
      waiting.push(ticket)
      rounds ??= run()
    },
    async idle() {
      await rounds
      await confirm()
    },
  }
}
