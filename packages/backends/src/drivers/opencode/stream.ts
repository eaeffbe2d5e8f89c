import { setTimeout as delay } from 'node:timers/promises'
import type { Log } from '@longshore/contracts'
import { z } from 'zod'
import { authorizationOf, type ServerAddress } from './session-api.ts'

// The stream is only ever a hint that something may have changed: it has no replay, may end silently,
// and no event of it says that a run is over. Whoever reads it checks the truth after every (re)connect.

/** The server sends a heartbeat every 10 s; three missed ones and some slack mean that nobody is there. */
const SILENCE_MS = 35_000
/** Connections accepted just before the server listens are never answered. */
const HEADERS_MS = 10_000
const BACKOFF_MS = [250, 500, 1_000, 2_000, 5_000] as const
/** No honest event is longer. */
const MAX_EVENT_CHARACTERS = 8 * 1024 * 1024

export const StreamEvent = z.object({ type: z.string(), properties: z.looseObject({}) })
export type StreamEvent = z.infer<typeof StreamEvent>

export interface StreamOptions {
  address: ServerAddress
  directory: string
  /** Ends the stream. */
  signal: AbortSignal
  log: Log
  onEvent(event: StreamEvent): void
  /** After every connect that was confirmed by the server: whatever happened before it was not seen. */
  onConnected(): void
}

/** Reads the server's events, connecting again and again, until the signal aborts. Never rejects. */
export async function followStream(options: StreamOptions): Promise<void> {
  let failures = 0
  const onConnected = (): void => {
    failures = 0
    options.onConnected()
  }
  while (!options.signal.aborted) {
    await readOnce({ ...options, onConnected }).catch((error: unknown) => options.log.debug({ err: error }, 'event stream broke'))
    failures += 1
    await delay(BACKOFF_MS[Math.min(failures, BACKOFF_MS.length) - 1], undefined, { signal: options.signal }).catch(() => {})
  }
}

async function readOnce({ address, directory, signal, onEvent, onConnected }: StreamOptions): Promise<void> {
  const silence = new AbortController()
  const fallSilent = (): void => silence.abort(new Error('the event stream is silent'))
  let watchdog = setTimeout(fallSilent, HEADERS_MS)
  try {
    const url = new URL('/event', address.url)
    url.searchParams.set('directory', directory)
    const response = await fetch(url, {
      headers: { accept: 'text/event-stream', ...authorizationOf(address) }, redirect: 'error', signal: AbortSignal.any([signal, silence.signal]),
    })
    if (!response.ok || response.body === null) throw new Error(`the event stream answered ${response.status}`)
    let rest = ''
    for await (const text of response.body.pipeThrough(new TextDecoderStream()) as AsyncIterable<string>) {
      clearTimeout(watchdog)
      watchdog = setTimeout(fallSilent, SILENCE_MS)
      rest += text
      if (rest.length > MAX_EVENT_CHARACTERS) throw new Error('an event is too long')
      const lines = rest.split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) {
        const event = parseLine(line)
        if (event?.type === 'server.connected') onConnected()
        if (event !== undefined) onEvent(event)
      }
    }
  } finally {
    clearTimeout(watchdog)
  }
}

/** The event of a `data:` line; undefined for every other line and for what is no event. */
function parseLine(line: string): StreamEvent | undefined {
  if (!line.startsWith('data:')) return undefined
  try {
    return StreamEvent.safeParse(JSON.parse(line.slice(5))).data
  } catch {
    return undefined
  }
}
