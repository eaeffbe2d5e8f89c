import { waitFor } from '@longshore/testkit'
import { createParser, type EventSourceMessage } from 'eventsource-parser'

/** One open stream of a test. */
export interface EventReader {
  status: number
  headers: Headers
  /** All so far. */
  events: EventSourceMessage[]
  /** Comment lines: heartbeats. */
  comments: number
  /** What the server said last about coming back. */
  retryMs: number | undefined
  /** Whether the server ended it. */
  isOver: boolean
  until(count: number): Promise<EventSourceMessage[]>
  ended(): Promise<EventSourceMessage[]>
  close(): void
}

/** Opens a stream of server-sent events and reads it. */
export async function readEvents(url: string, key: string, headers: Record<string, string> = {}): Promise<EventReader> {
  const stop = new AbortController()
  const response = await fetch(url, { headers: { authorization: `Bearer ${key}`, ...headers }, signal: stop.signal })
  const reader: EventReader = {
    status: response.status, headers: response.headers, events: [], comments: 0, retryMs: undefined, isOver: false,
    async until(count) {
      await waitFor(() => reader.events.length >= count, { what: `${count} events (${reader.events.length} came)` })
      return reader.events
    },
    async ended() {
      await waitFor(() => reader.isOver, { what: 'the end of the stream' })
      return reader.events
    },
    close: () => stop.abort(),
  }
  void follow(response, reader).catch(() => undefined)
  return reader
}

async function follow(response: Response, reader: EventReader): Promise<void> {
  const parser = createParser({
    onEvent: (event) => reader.events.push(event),
    onComment: () => reader.comments++,
    onRetry: (ms) => { reader.retryMs = ms },
  })
  const decoder = new TextDecoder()
  for await (const piece of response.body ?? []) parser.feed(decoder.decode(piece as Uint8Array, { stream: true }))
  reader.isOver = true
}
