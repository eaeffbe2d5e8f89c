import type { Redis } from 'ioredis'

/** A dead holder is followed after this long; a living one renews three times within it. */
export const LEASE_MS = 4_000

const ACQUIRE = `
if redis.call('EXISTS', KEYS[1] .. 'lease') == 1 then return 0 end
local fence = redis.call('INCR', KEYS[1] .. 'fence')
redis.call('SET', KEYS[1] .. 'lease', fence, 'PX', ARGV[1])
return fence`
const RENEW = `if redis.call('GET', KEYS[1] .. 'lease') == ARGV[1] then return redis.call('PEXPIRE', KEYS[1] .. 'lease', ARGV[2]) end return 0`
const LET_GO = `if redis.call('GET', KEYS[1] .. 'lease') == ARGV[1] then return redis.call('DEL', KEYS[1] .. 'lease') end return 0`

/** Takes the sink for this process. @returns the fence (from 1, never used twice), or undefined while another holds it */
export async function acquireLease(redis: Redis, prefix: string): Promise<number | undefined> {
  const fence = Number(await redis.eval(ACQUIRE, 1, prefix, LEASE_MS))
  return fence === 0 ? undefined : fence
}

/** False: it is another's now. */
export async function renewLease(redis: Redis, prefix: string, fence: number): Promise<boolean> {
  return (await redis.eval(RENEW, 1, prefix, fence, LEASE_MS)) === 1
}

/** So that the next one need not wait for it to run out. */
export async function letGoOfLease(redis: Redis, prefix: string, fence: number): Promise<void> {
  await redis.eval(LET_GO, 1, prefix, fence)
}
