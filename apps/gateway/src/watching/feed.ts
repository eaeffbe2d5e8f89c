import type { Buffer } from 'node:buffer'
import { setTimeout as sleep } from 'node:timers/promises'

import type { Bell, Doorbell } from '@longshore/ledger'

/** Some events after a cursor, as they go out. */
export interface FramePage {
  bytes: Buffer
  /** Where the reader stands after them. */
  cursor: string
  /** Whether there are more already. */
  isMore: boolean
  /** Nothing comes after this page: the log is over, or gone. */
  isLast: boolean
}

/** A reader's hold on a log that is followed once, however many read it. */
export interface Feed {
  /** Grows with each wake: who read before it looks again. */
  generation(): number
  /** What comes after a cursor. Who asks for the same at the same time gets the same page: read once, parsed once, encoded once. */
  page(cursor: string): Promise<FramePage>
  leave(): void
}

/** Follows a log (a task's id, or `fleet`); calls `wake` at each ring, and now and then without one. */
export type JoinFeed = (topic: string, wake: () => void) => Feed

export interface FeedOptions {
  doorbell: Pick<Doorbell, 'listen'>
  read(topic: string, cursor: string): Promise<FramePage>
  /** A ring may be lost (G5): every log is looked at this often all the same. */
  pollMs: number
}

/** Many readers of a log that is written to all the time are woken together: this much later for each of them (ms), up to `MOST_MS`. */
const PER_READER_MS = 0.02
const MOST_MS = 20

/** Feeds are made with their first reader and gone with their last. */
export function createFeeds(options: FeedOptions): JoinFeed {
  const feeds = new Map<string, ReturnType<typeof createFeed>>()
  return (topic, wake) => {
    const feed = feeds.get(topic) ?? createFeed(topic, options)
    feeds.set(topic, feed)
    feed.wakes.add(wake)
    return {
      generation: feed.generation,
      page: feed.page,
      leave: () => {
        if (!feed.wakes.delete(wake) || feed.wakes.size > 0) return
        feeds.delete(topic)
        feed.stop()
      },
    }
  }
}

function createFeed(topic: string, { doorbell, read, pollMs }: FeedOptions) {
  const wakes = new Set<() => void>()
  const asked = new Map<string, Promise<FramePage>>()
  const stopping = new AbortController()
  let generation = 0
  const wakeAll = () => {
    generation++
    // What is being read now may miss what just came.
    asked.clear()
    for (const wake of wakes) wake()
  }
  const poll = setInterval(wakeAll, pollMs)
  // Without a bell the poll goes on.
  followBell(doorbell.listen(topic), wakeAll, () => Math.min(wakes.size * PER_READER_MS, MOST_MS), stopping.signal).catch(() => undefined)
  return {
    wakes,
    generation: () => generation,
    page(cursor: string): Promise<FramePage> {
      const known = asked.get(cursor)
      if (known !== undefined) return known
      const page = read(topic, cursor).finally(() => {
        if (asked.get(cursor) === page) asked.delete(cursor)
      })
      asked.set(cursor, page)
      return page
    },
    stop() {
      clearInterval(poll)
      stopping.abort()
    },
  }
}

const FOR_EVER_MS = 2 ** 31 - 1

/** Wakes also once when the bell can be heard: what came between a reader's first look and that rang for nobody. */
async function followBell(listening: Promise<Bell>, wakeAll: () => void, pauseMs: () => number, signal: AbortSignal): Promise<void> {
  const bell = await listening
  while (!signal.aborted) {
    wakeAll()
    if (pauseMs() >= 1) await sleep(pauseMs())
    await bell.next(FOR_EVER_MS, signal)
  }
  await bell.close()
}
