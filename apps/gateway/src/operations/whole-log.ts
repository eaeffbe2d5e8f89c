import { type AnyEvent, type Cursor, START, type Task } from '@longshore/contracts'

import type { Ports } from './operation.ts'

/** Events read at once: each is up to 16 KiB. */
const STEP = 64

/**
 * The log of a task as it stood with this record, from its first event that is kept, page by page. What is trimmed while it is read is left out: the numbers
 * of the events say so.
 */
export async function* wholeLog(ledger: Pick<Ports['ledger'], 'read'>, { id, seq }: Pick<Task, 'id' | 'seq'>): AsyncGenerator<AnyEvent> {
  let cursor: Cursor = START
  while (cursor.seq < seq) {
    const page = await ledger.read(id, cursor, STEP)
    if (page === undefined || (page.kind === 'events' && page.events.length === 0)) return
    if (page.kind === 'cursor_reset' && page.earliest.seq <= cursor.seq) return
    if (page.kind === 'events') yield* page.events.filter((event) => event.seq <= seq)
    cursor = page.kind === 'events' ? page.cursor : page.earliest
  }
}
