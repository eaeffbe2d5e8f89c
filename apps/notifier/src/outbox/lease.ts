import type { Redis } from 'ioredis'

/** A dead holder is followed after this long; a living one renews three times within it. */
export const LEASE_MS = 4_000

const ACQUIRE = `
if redis.call('EXISTS', KEYS[1] .. 'lease:' .. ARGV[2]) == 1 then return 0 end
local fence = redis.call('INCR', KEYS[1] .. 'fence')
redis.call('SET', KEYS[1] .. 'lease:' .. ARGV[2], fence, 'PX', ARGV[1])
return fence`
const RENEW = `local lease = KEYS[1] .. 'lease:' .. ARGV[3] if redis.call('GET', lease) == ARGV[1] then return redis.call('PEXPIRE', lease, ARGV[2]) end return 0`
const LET_GO = `local lease = KEYS[1] .. 'lease:' .. ARGV[2] if redis.call('GET', lease) == ARGV[1] then return redis.call('DEL', lease) end return 0`

/** Takes something for this process. @returns the fence (from 1, never used twice), or undefined while another holds it */
export async function acquireLease(redis: Redis, prefix: string, what: string): Promise<number | undefined> {
  const fence = Number(await redis.eval(ACQUIRE, 1, prefix, LEASE_MS, what))
  return fence === 0 ? undefined : fence
}

/** False: it is another's now. */
export async function renewLease(redis: Redis, prefix: string, what: string, fence: number): Promise<boolean> {
  return (await redis.eval(RENEW, 1, prefix, fence, LEASE_MS, what)) === 1
}

/** So that the next one need not wait for it to run out. */
export async function letGoOfLease(redis: Redis, prefix: string, what: string, fence: number): Promise<void> {
  await redis.eval(LET_GO, 1, prefix, fence, what)
}
