import type { Redis } from 'ioredis'

import type { DeploymentId } from '@longshore/contracts'

import { queueKeys } from './names.ts'

/** A request that nobody takes back outlives its worker, if that died; so long, and no longer. */
const KEPT_MS = 24 * 60 * 60 * 1_000

/** What operators ask of one worker (G12). It reads this with its heartbeat: seconds later it drains, or takes tasks again. */
export interface DrainRequests {
  /** Whether there is such a worker; if not, nothing was asked. */
  request(name: string): Promise<boolean>
  /** Whether it had been asked to drain. */
  undo(name: string): Promise<boolean>
}

export function createDrainRequests(redis: Redis, deployment: DeploymentId): DrainRequests {
  const keys = queueKeys(deployment)
  return {
    request: async (name) => {
      if ((await redis.exists(keys.worker(name))) === 0) return false
      await redis.set(keys.drain(name), '1', 'PX', KEPT_MS)
      return true
    },
    undo: async (name) => (await redis.del(keys.drain(name))) === 1,
  }
}
