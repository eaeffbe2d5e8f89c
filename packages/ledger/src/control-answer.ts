import { type Task, type Ticket } from '@longshore/contracts'

import type { ControlAnswer } from './ledger.ts'
import { fieldsOf, taskFrom, ticketOf } from './record.ts'

/** What a control's script answered; undefined: there is no such task. */
export function controlAnswer<O extends string>(answer: unknown): ControlAnswer<O> | undefined {
  const [outcome, before, fields] = answer as [O | 'unknown', Task['state'], unknown]
  return outcome === 'unknown' ? undefined : { outcome, before, task: taskFrom(fieldsOf(fields) ?? {}) }
}

/** The current ticket of a record as a script answers with it. */
export function nextTicket(record: unknown): Ticket | undefined {
  const fields = fieldsOf(record)
  return fields === undefined ? undefined : ticketOf(taskFrom(fields), fields['min_worker'])
}

/** The same with the ticket, where `done` put the task back into the queue; not while it waits for its workspace, which brings a ticket of its own. */
export function withTicket<O extends string>(done: O, raw: unknown): (ControlAnswer<O> & { ticket?: Ticket }) | undefined {
  const answer = controlAnswer<O>(raw)
  const [, , record, waits] = raw as unknown[]
  const ticket = answer?.outcome === done && answer.task.state === 'queued' && waits !== 1 ? nextTicket(record) : undefined
  return answer === undefined || ticket === undefined ? answer : { ...answer, ticket }
}
