import type { Redis } from 'ioredis'

import { type Log, LongshoreError } from '@longshore/contracts'

/** Submits are refused from this share of `maxmemory` on, so that running tasks can go on writing (decision 13). */
const FULL_AT = 0.8
const LOOK_EVERY_MS = 1_000

export interface MemoryGuard {
  /** @throws LongshoreError overloaded */
  check(): Promise<void>
  /** What `check` would say, by a look of the last second. */
  hasRoom(): Promise<boolean>
}

/** Looks at Redis' memory at most once a second, beside the submits and not in their way. */
export function createMemoryGuard(redis: Redis, log: Log): MemoryGuard {
  let share = 0
  let lookedAt = 0
  let looking: Promise<void> | undefined
  const look = async () => {
    try {
      share = usedShare(await redis.info('memory'))
    } catch (error) {
      log.debug({ err: error }, 'could not look at Redis memory')
    }
    lookedAt = performance.now()
    looking = undefined
  }
  const isStale = () => performance.now() - lookedAt > LOOK_EVERY_MS
  return {
    async check() {
      if (lookedAt === 0) await (looking ??= look())
      else if (isStale()) looking ??= look()
      if (share < FULL_AT) return
      throw new LongshoreError('overloaded', `Redis has used ${Math.round(share * 100)} % of its maxmemory; new tasks are refused from 80 % on`, {
        next: 'try again later, or ask the operator to give Redis more memory',
      })
    },
    async hasRoom() {
      if (lookedAt === 0 || isStale()) await (looking ??= look())
      return share < FULL_AT
    },
  }
}

/** From INFO memory; 0 when no limit is set. */
function usedShare(info: string): number {
  const number = (name: string) => Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(info)?.[1] ?? 0)
  const limit = number('maxmemory')
  return limit === 0 ? 0 : number('used_memory') / limit
}
