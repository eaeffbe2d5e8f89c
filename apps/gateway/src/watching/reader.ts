import type { Writable } from 'node:stream'

import { STREAM_EVENTS, frame } from './frames.ts'
import type { JoinFeed } from './feed.ts'

export interface ReaderOptions {
  join: JoinFeed
  topic: string
  /** Where it stands. */
  cursor: string
  out: Writable
  /** A reader that takes nothing for so long is dropped. */
  stallMs: number
  /** A page could not be read (Redis is away); it is tried again. */
  onError: (error: unknown) => void
  /** It is cut off because it took nothing. */
  onStall?: () => void
}

/** One connection that follows a log. It holds one page at most: what comes next is read when that one was taken. */
export interface Reader {
  /** Writes something beside the log, unless the reader is behind with what it got. */
  remark(bytes: Buffer): void
  /** Ends the stream with a last event that says why, and where to go on. */
  end(type: string, more: object, before?: string): void
}

/** How long a connection that was told its end may take to read that (ms). */
const CLOSE_MS = 5_000

export function startReader({ join, topic, cursor: start, out, stallMs, onError, onStall }: ReaderOptions): Reader {
  const state: { cursor: string; seen: number; isOver: boolean; isReading: boolean; isStuck: boolean } = { cursor: start, seen: 0, isOver: false, isReading: false, isStuck: false }
  const mayGoOn = () => !state.isOver
  const end: Reader['end'] = (type, more, before = '') => {
    if (state.isOver) return
    close()
    out.end(before + frame(type, { ...more, cursor: state.cursor }))
    const timer = setTimeout(() => out.destroy(), CLOSE_MS)
    out.once('close', () => clearTimeout(timer))
  }
  const close = () => {
    state.isOver = true
    feed.leave()
  }
  /** @returns whether there is more to read now */
  const step = async (): Promise<boolean> => {
    state.seen = feed.generation()
    const page = await feed.page(state.cursor)
    if (state.isOver) return false
    state.cursor = page.cursor
    if (page.bytes.length > 0 && !out.write(page.bytes)) {
      state.isStuck = true
      const isTaken = await untilDrained(out, stallMs)
      state.isStuck = false
      if (!isTaken) onStall?.()
      if (!isTaken) end(STREAM_EVENTS.reconnect, { reason: 'slow', message: `nothing was taken for ${stallMs} ms; go on from the cursor` })
    }
    if (page.isLast) end(STREAM_EVENTS.end, { reason: 'over' })
    return mayGoOn() && (page.isMore || state.seen !== feed.generation())
  }
  const read = async () => {
    if (state.isReading || state.isOver) return
    state.isReading = true
    try {
      while (await step());
    } catch (error) {
      // The next wake tries again: the poll comes in any case.
      onError(error)
      state.seen = feed.generation()
    }
    state.isReading = false
    // A wake that came after the last look found it still reading.
    if (state.seen !== feed.generation()) void read()
  }
  const feed = join(topic, () => void read())
  out.once('close', () => { if (!state.isOver) close() })
  void read()
  return {
    remark: (bytes) => { if (!state.isOver && !state.isStuck) out.write(bytes) },
    end,
  }
}

/** Whether everything written was taken within `stallMs`. */
function untilDrained(out: Writable, stallMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const done = (isTaken: boolean) => {
      clearTimeout(timer)
      out.off('drain', onDrain).off('close', onClose)
      resolve(isTaken)
    }
    const onDrain = () => done(true)
    // Whoever is gone needs no last words.
    const onClose = () => done(true)
    const timer = setTimeout(() => done(false), stallMs)
    out.on('drain', onDrain).on('close', onClose)
  })
}
