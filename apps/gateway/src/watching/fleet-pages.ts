import { Buffer } from 'node:buffer'

import type { FleetPage, Ledger } from '@longshore/ledger'

import { viewEvent } from '../operations/event-view.ts'
import type { FramePage } from './feed.ts'
import { eventFrame, frame, STREAM_EVENTS } from './frames.ts'
import { EVENTS_PER_PAGE } from './task-pages.ts'

/** A page of the deployment's log, ready to go out. */
export async function readFleetPage(ledger: Pick<Ledger, 'readFleetEvents'>, cursor: string): Promise<FramePage> {
  const page = await ledger.readFleetEvents(cursor, EVENTS_PER_PAGE)
  if (page.kind === 'cursor_reset') {
    return { bytes: Buffer.from(frame(STREAM_EVENTS.reset, { cursor: page.earliest }, page.earliest)), cursor: page.earliest, isMore: true, isLast: false }
  }
  return { bytes: Buffer.from(page.entries.map(entryFrame).join('')), cursor: page.cursor, isMore: page.isMore, isLast: false }
}

type Entry = Extract<FleetPage, { kind: 'events' }>['entries'][number]

/** The shape of a history's events, and whose it is. Of one that its task keeps no longer there is only that it was. */
function entryFrame({ position, taskId, seq, type, event }: Entry): string {
  return eventFrame(type, { task_id: taskId, ...(event === undefined ? { seq, type, trimmed: true } : viewEvent(event)) }, position)
}
