import type { Log, Ticket } from '@longshore/contracts'
import type { Ledger } from '@longshore/ledger'
import type { TicketProducer } from '@longshore/queue'

import { describeError } from './door-error.ts'

export interface TicketDispatch {
  /**
   * Brings a ticket into the queue, beside the answer to the caller: the task is accepted already (G1) and stands in the
   * ledger as pending, so whatever fails or dies here, the reconciler repeats.
   */
  dispatch(ticket: Ticket): void
  /** Waits for what is under way. */
  idle(): Promise<void>
}

export function createTicketDispatch({ producer, ledger, log }: { producer: Pick<TicketProducer, 'add'>; ledger: Pick<Ledger, 'ticketAdded'>; log: Log }): TicketDispatch {
  const underWay = new Set<Promise<void>>()
  const bring = async (ticket: Ticket) => {
    try {
      await producer.add(ticket)
      await ledger.ticketAdded(ticket)
    } catch (error) {
      log.warn({ task: ticket.task_id, err: describeError(error) }, 'a ticket could not be queued now; the reconciler will')
    }
  }
  return {
    dispatch(ticket) {
      const work = bring(ticket).finally(() => underWay.delete(work))
      underWay.add(work)
    },
    idle: async () => void (await Promise.all(underWay)),
  }
}
