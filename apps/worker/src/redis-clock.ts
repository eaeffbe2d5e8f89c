import type { Redis } from 'ioredis'

/** Redis TIME, as this process last measured it: deadlines are in that time, wherever a worker runs. */
export interface RedisClock {
  /** Milliseconds since the epoch, by Redis. */
  now(): number
  /** Measures again; drift and stepped clocks are bounded by how often. */
  measure(): Promise<void>
}

/** An answer that takes longer is not believed: half of that is how far off the clock may be. */
const PROMPT_MS = 250
const TRIES = 5

/** @returns a clock that was measured once. It goes on by the monotonic clock in between. */
export async function startRedisClock(redis: Redis): Promise<RedisClock> {
  let offset: number | undefined
  const measure = async (triesLeft = TRIES): Promise<void> => {
    const sentAt = performance.now()
    const [seconds, micros] = await redis.time()
    const now = performance.now()
    // Of an answer that took long nobody knows when it was made: Redis away, or stalled, answers at the end of that.
    if (now - sentAt > PROMPT_MS && triesLeft > 1) return measure(triesLeft - 1)
    if (now - sentAt > PROMPT_MS && offset !== undefined) return
    offset = Number(seconds) * 1_000 + Number(micros) / 1_000 - (sentAt + now) / 2
  }
  await measure()
  return { now: () => Math.round(performance.now() + (offset ?? 0)), measure: () => measure() }
}
