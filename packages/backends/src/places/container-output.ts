import { PassThrough, pipeline, type Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import type { Log } from '@longshore/contracts'
import { createDemultiplexer, type Piece } from '../drivers/command/demultiplex.ts'
import type { Containers } from './containers.ts'

/** Between two looks, also for a reader of its output. */
const RECONNECT_MS = 1_000
/** What is read while the reader is busy: one that pauses 100 ms takes 10 MB a second. */
const READ_AHEAD_BYTES = 1_048_576

/**
 * All that a container has put out, in order, and on while it runs. No piece lies on both sides of byte `mark`. Ends when the container has stopped
 * or is gone, or when the signal aborts; does not throw. While nobody can tell it goes on: whoever is told a moment later that it stopped would take what came for all.
 *
 * A read counts as whole when it began after the container had stopped: busy engines were seen to end one before the last output (20.10: 2 of 83).
 */
export async function* containerOutput(containers: Containers, name: string, mark: number, { signal, log }: { signal: AbortSignal; log: Log }): AsyncGenerator<Piece[]> {
  let passed = 0
  for (let hasStopped = false; ;) {
    const reader = createDemultiplexer(Math.max(mark, passed))
    let isCut = false
    try {
      for await (const chunk of readLog(containers, name, signal)) {
        const pieces = reader.push(chunk).filter(({ end }) => end > passed)
        passed = pieces.at(-1)?.end ?? passed
        if (pieces.length > 0) yield pieces
      }
    } catch (error) {
      isCut = true
      log.debug({ err: error }, 'the log of the container broke')
    }
    if (signal.aborted || (hasStopped && !isCut)) return
    const state = await containers.state(name).catch(() => 'unknown' as const)
    if (state === undefined) return
    hasStopped = state !== 'unknown' && !state.isRunning && !state.isNew
    if (isCut || !hasStopped) await delay(RECONNECT_MS, undefined, { signal }).catch(() => undefined)
  }
}

/** Its log from the beginning. @throws when the connection breaks */
async function* readLog({ docker }: Containers, name: string, signal: AbortSignal): AsyncGenerator<Buffer> {
  const source = (await docker.getContainer(name).logs({ follow: true, stdout: true, stderr: true })) as unknown as Readable
  const close = (): void => void source.destroy()
  signal.addEventListener('abort', close)
  try {
    if (!signal.aborted) yield* pipeline(source, new PassThrough({ highWaterMark: READ_AHEAD_BYTES }), () => {}) as AsyncIterable<Buffer> // it may have aborted while there was no stream to close
  } finally {
    signal.removeEventListener('abort', close)
    close()
  }
}
