import type { FramePage, JoinFeed } from './feed.ts'

export interface PullOptions {
  join: JoinFeed
  topic: string
  /** Where to begin. */
  cursor: string
  /** Takes a page; the next one is read after that. @returns whether to go on */
  take(page: FramePage): Promise<boolean> | boolean
  /** A page could not be read (Redis is away); it is tried again. */
  onError: (error: unknown) => void
}

/** Reads a log page by page as it grows, each page once and in order, until told to stop. */
export function pullFeed({ join, topic, cursor: start, take, onError }: PullOptions): { stop(): void } {
  const state: { cursor: string; seen: number; isOver: boolean; isReading: boolean } = { cursor: start, seen: 0, isOver: false, isReading: false }
  const stop = () => {
    state.isOver = true
    feed.leave()
  }
  const mayGoOn = () => !state.isOver
  /** @returns whether there is more already */
  const step = async (): Promise<boolean> => {
    state.seen = feed.generation()
    const page = await feed.page(state.cursor)
    if (!mayGoOn()) return false
    state.cursor = page.cursor
    if (!(await take(page)) && mayGoOn()) stop()
    return mayGoOn() && page.isMore
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
    // A wake that came since the last look found it still reading.
    if (mayGoOn() && state.seen !== feed.generation()) void read()
  }
  const feed = join(topic, () => void read())
  void read()
  return { stop }
}
