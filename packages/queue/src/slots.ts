/** How many tickets one process works on at once, over all its modes (decision 12). */
export interface Slots {
  taken(): number
  /** Whether a slot was free; it is the caller's until `release`. */
  take(): boolean
  /** One more, free or not, for what goes on elsewhere without an owner; never more than twice the slots. */
  takeBeyond(): boolean
  release(): void
  /**
   * Resolves at the next `release` or `ring`. Those who wait go on in the order in which they came, so modes that
   * both have work take turns.
   */
  change(): Promise<void>
  /** Something else changed that those who wait should look at. */
  ring(): void
  isFree(): boolean
  /** More is in work than there are slots: nothing new begins before that is over. */
  isExceeded(): boolean
}

export function createSlots(size: number): Slots {
  let taken = 0
  let next = Promise.withResolvers<void>()
  const takeUpTo = (most: number) => {
    if (taken >= most) return false
    taken += 1
    return true
  }
  const ring = () => {
    const current = next
    next = Promise.withResolvers()
    current.resolve()
  }
  return {
    taken: () => taken,
    isFree: () => taken < size,
    isExceeded: () => taken > size,
    take: () => takeUpTo(size),
    takeBeyond: () => takeUpTo(2 * size),
    release: () => {
      taken -= 1
      ring()
    },
    change: () => next.promise,
    ring,
  }
}
