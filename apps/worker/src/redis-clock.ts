import type { Redis } from 'ioredis'

/** Redis TIME, as this process last measured it: deadlines are in that time, wherever a worker runs. */
export interface RedisClock {
  /** Milliseconds since the epoch, by Redis. */
  now(): number
  /** Measures again; drift and stepped clocks are bounded by how often. */
  measure(): Promise<void>
}

/** @returns a clock that was measured once. It goes on by the monotonic clock in between. */
export async function startRedisClock(redis: Redis): Promise<RedisClock> {
  let offset = 0
  const measure = async () => {
    const sentAt = performance.now()
    const [seconds, micros] = await redis.time()
    const halfway = (sentAt + performance.now()) / 2
    offset = Number(seconds) * 1_000 + Number(micros) / 1_000 - halfway
  }
  await measure()
  return { now: () => Math.round(performance.now() + offset), measure }
}
