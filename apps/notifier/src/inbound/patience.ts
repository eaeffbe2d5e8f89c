import type { Clock } from '@longshore/contracts'

const MAX_MS = 30_000
const MIN_TRIES = 6

/** With what fails again and again, while all else goes on. It outlives a round of listening. */
export interface Patience {
  /** It failed once more. @returns whether that is enough: it is forgotten then */
  isOver(eventId: string): boolean
}

export function createPatience(now: Clock): Patience {
  const failing = new Map<string, { tries: number; since: number }>()
  return {
    isOver(eventId) {
      const { tries, since } = failing.get(eventId) ?? { tries: 0, since: now() }
      const isOver = tries + 1 >= MIN_TRIES && now() - since >= MAX_MS
      if (isOver) failing.delete(eventId)
      else failing.set(eventId, { tries: tries + 1, since })
      return isOver
    },
  }
}
