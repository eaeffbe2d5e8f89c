import type { Buffer } from 'node:buffer'
import type { Writable } from 'node:stream'

import type { FramePage } from './feed.ts'
import { frame, STREAM_EVENTS } from './frames.ts'
import { pullFeed, type PullOptions } from './pull-feed.ts'
import { untilDrained } from './until-drained.ts'

export interface ReaderOptions extends Omit<PullOptions, 'take'> {
  out: Writable
  /** A reader that takes nothing for so long is dropped. */
  stallMs: number
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

export function startReader({ out, stallMs, onStall, ...options }: ReaderOptions): Reader {
  const state: { cursor: string; isOver: boolean; isStuck: boolean } = { cursor: options.cursor, isOver: false, isStuck: false }
  const end: Reader['end'] = (type, more, before = '') => {
    if (state.isOver) return
    close()
    out.end(before + frame(type, { ...more, cursor: state.cursor }))
    const timer = setTimeout(() => out.destroy(), CLOSE_MS)
    out.once('close', () => clearTimeout(timer))
  }
  const close = () => {
    state.isOver = true
    pull.stop()
  }
  const take = async ({ bytes, cursor, isLast }: FramePage): Promise<boolean> => {
    state.cursor = cursor
    if (bytes.length > 0 && !out.write(bytes)) {
      state.isStuck = true
      const isTaken = await untilDrained(out, stallMs)
      state.isStuck = false
      if (!isTaken) {
        onStall?.()
        end(STREAM_EVENTS.reconnect, { reason: 'slow', message: `nothing was taken for ${stallMs} ms; go on from the cursor` })
      }
    }
    if (isLast) end(STREAM_EVENTS.end, { reason: 'over' })
    return !state.isOver
  }
  const pull = pullFeed({ ...options, take })
  out.once('close', () => { if (!state.isOver) close() })
  return {
    remark: (bytes) => { if (!state.isOver && !state.isStuck) out.write(bytes) },
    end,
  }
}
