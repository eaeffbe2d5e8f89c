import { setTimeout as delay } from 'node:timers/promises'
import type { RunContext } from '@longshore/contracts'
import type { ServerAddress } from './session-api.ts'
import { followStream, type StreamEvent } from './stream.ts'

/** The stream is opened before the prompt, but no run waits longer for it: it is only a hint. */
const CONNECT_TIMEOUT_MS = 3_000

export interface Listener { hear(event: StreamEvent): void; connected(): void }
/** `connected` resolves with the connection, or after a while without it. What comes before `listen` is not kept. */
export interface Stream { connected: Promise<void>; listen(listener: Listener): void; close(): void }

/** Opens the event stream of a directory at once. */
export function openStream(address: ServerAddress, directory: string, run: Pick<RunContext, 'log' | 'signal'>): Stream {
  const closing = new AbortController()
  const first = Promise.withResolvers<void>()
  let listener: Listener | undefined
  void followStream({
    address, directory, log: run.log, signal: AbortSignal.any([run.signal, closing.signal]),
    onEvent: (event) => listener?.hear(event),
    onConnected: () => {
      first.resolve()
      listener?.connected()
    },
  })
  return {
    connected: Promise.race([first.promise, delay(CONNECT_TIMEOUT_MS, undefined, { ref: false })]),
    listen: (who) => {
      listener = who
    },
    close: () => closing.abort(),
  }
}
