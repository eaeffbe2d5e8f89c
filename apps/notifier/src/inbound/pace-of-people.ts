import type { Clock } from '@longshore/contracts'

/** What one person may ask at once, and how often after that. */
const BURST = 15
const EVERY_MS = 2_000

export interface PaceOfPeople {
  /**
   * `first`: it is too much now, and this is the first that is; `more`: it still is.
   * @param saidAt when it was said, for people we believe: what waited while nobody listened did not come all at once
   */
  take(sender: string, saidAt?: number): 'go' | 'first' | 'more'
}

/** A token bucket for each sender, so that nobody floods a task's mailbox, the room or the audit. Forgotten with the process: what matters is kept elsewhere. */
export function createPaceOfPeople(now: Clock): PaceOfPeople {
  const buckets = new Map<string, { tokens: number; at: number; told: boolean }>()
  const forgetFull = (at: number) => {
    for (const [sender, bucket] of buckets) if (bucket.tokens + (at - bucket.at) / EVERY_MS >= BURST) buckets.delete(sender)
  }
  return {
    take(sender, saidAt = Infinity) {
      const at = Math.max(Math.min(now(), saidAt), buckets.get(sender)?.at ?? -Infinity)
      if (buckets.size > 1_000) forgetFull(now())
      const bucket = buckets.get(sender) ?? { tokens: BURST, at, told: false }
      const tokens = Math.min(BURST, bucket.tokens + (at - bucket.at) / EVERY_MS)
      const goes = tokens >= 1
      buckets.set(sender, { tokens: goes ? tokens - 1 : tokens, at, told: !goes })
      if (goes) return 'go'
      return bucket.told ? 'more' : 'first'
    },
  }
}
