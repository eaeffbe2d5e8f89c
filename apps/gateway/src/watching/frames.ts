import { Buffer } from 'node:buffer'

/** What stands in a stream of server-sent events besides the log's own events. */
export const STREAM_EVENTS = {
  /** The cursor fits no longer: what follows begins at the earliest event that is kept (G6). */
  reset: 'cursor_reset',
  /** The task is over and this was all of it: do not come back. */
  end: 'end',
  /** The stream ends for a reason of ours: come back with the cursor. */
  reconnect: 'reconnect',
} as const

/** Proxies and readers see that the stream lives. */
export const HEARTBEAT = Buffer.from(': \n\n')

/** One event. Data is JSON, which has no line break outside of its escapes. */
export function frame(type: string, data: object, id?: string): string {
  return `${id === undefined ? '' : `id: ${id}\n`}event: ${type}\ndata: ${JSON.stringify(data)}\n\n`
}

/** An event of a log. A type is what some version of us wrote; one that could break the stream's lines is left unnamed. */
export function eventFrame(type: string, data: object, id: string): string {
  return frame(/^[\w.-]{1,64}$/.test(type) ? type : 'message', data, id)
}

/** Where a reader stands, without an event: what it resumes from when it is cut off before the first one. */
export function placeFrame(id: string): string {
  return `id: ${id}\n\n`
}

/** How long a reader that was cut off waits before it comes back (ms). */
export function retryFrame(ms: number): string {
  return `retry: ${Math.round(ms)}\n\n`
}
