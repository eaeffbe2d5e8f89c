import { Buffer } from 'node:buffer'

import { END_STATES, formatCursor, parseCursor, START, TaskId } from '@longshore/contracts'
import type { Ledger } from '@longshore/ledger'

import type { FramePage } from './feed.ts'
import { viewEvent } from '../operations/event-view.ts'
import { eventFrame, frame, STREAM_EVENTS } from './frames.ts'

/** An event has up to 16 KiB: what a reader that takes nothing holds of ours. */
export const EVENTS_PER_PAGE = 16

const ENDS: ReadonlySet<string> = new Set(END_STATES.map((state) => `task.${state}`))

/** A page of one task's log, ready to go out. The cursor was parsed before: whatever is none stands for the start. */
export async function readTaskPage(ledger: Pick<Ledger, 'read'>, topic: string, cursor: string): Promise<FramePage> {
  const page = await ledger.read(TaskId.parse(topic), parseCursor(cursor) ?? START, EVENTS_PER_PAGE)
  if (page === undefined) return { bytes: Buffer.alloc(0), cursor, isMore: false, isLast: true }
  if (page.kind === 'cursor_reset') {
    const reset = frame(STREAM_EVENTS.reset, { earliest_seq: page.earliest.seq + 1, cursor: formatCursor(START) }, formatCursor(START))
    return { bytes: Buffer.from(reset), cursor: formatCursor(START), isMore: true, isLast: false }
  }
  const isMore = page.cursor.seq < page.total
  return {
    bytes: Buffer.from(page.events.map((event) => eventFrame(event.type, viewEvent(event), formatCursor(event))).join('')),
    cursor: formatCursor(page.cursor),
    isMore,
    // Nothing is appended to the log of a task that is over.
    isLast: !isMore && ENDS.has(page.events.at(-1)?.type ?? ''),
  }
}
