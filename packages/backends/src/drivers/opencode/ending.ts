import type { Message } from './message.ts'

// The one place in which it is decided that a run is over, and that something may still be told. Both are decided in one synchronous step, after
// the last `await` of whoever decides: `tell` before it sends, the judge before the end is written down.
//
// A look that was begun before the last change here says nothing about the end. From the moment a message may be on its way until the session
// shows it, the run does not end; where sending got no answer nobody knows whether it will, so that waiting has a limit.

export interface Ending {
  /** Differs when something was sent, or arrived, since. */
  version(): number
  /** This message may be on its way from now on; `until`: when it comes no more, by this clock. */
  hold(message: string, until: number): void
  isAwaiting(): boolean
  /** Nothing is on its way: it is there, or will not come. */
  settle(): void
  /** What a look showed. */
  see(messages: readonly Message[]): void
  /** Ends the run for good, if what was seen at `version` still holds. */
  mayEnd(version: number): boolean
  /** Ends it whatever is on its way: it failed. */
  end(): void
  hasEnded(): boolean
}

/**
 * @param now a clock that only goes forward, in ms
 * @param onChange whoever judges the session is to look again
 */
export function createEnding(now: () => number, onChange: () => void): Ending {
  let awaited: { message: string; until: number } | undefined
  let isOver = false
  let version = 0
  const change = (next: typeof awaited): void => {
    awaited = next
    version += 1
    onChange()
  }
  return {
    version: () => version,
    hold: (message, until) => change({ message, until }),
    isAwaiting: () => awaited !== undefined,
    settle: () => change(undefined),
    see: (messages) => {
      if (messages.some(({ info }) => info.id === awaited?.message)) change(undefined)
    },
    mayEnd: (seen) => {
      if (seen !== version || (awaited !== undefined && now() < awaited.until)) return false
      isOver = true
      return true
    },
    end: () => {
      isOver = true
    },
    hasEnded: () => isOver,
  }
}
