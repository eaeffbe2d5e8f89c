import type { Redis } from 'ioredis'
import { z } from 'zod'

import { type DeploymentId, Isolation, Mode } from '@longshore/contracts'

import { queueKeys } from './names.ts'

/** What a mode is on one worker. `reason`: why it takes no tickets, and what to do about it. */
export const ModeReport = z.object({
  mode: Mode,
  ok: z.boolean(),
  reason: z.string().optional(),
  isolation: Isolation,
  /** The engine, host or server that it reaches: `engine_id` of its handles. */
  engine_id: z.string().optional(),
  capabilities: z.object({ adopt: z.boolean(), resume: z.boolean().default(false), steer: z.boolean(), pause: z.boolean(), usage: z.boolean(), files: z.boolean() }),
})
export type ModeReport = z.infer<typeof ModeReport>

/** What a worker says of itself every few seconds. */
export const Heartbeat = z.object({
  v: z.literal(1),
  name: z.string(),
  host: z.string(),
  /** Of the worker's build. */
  version: z.string(),
  started_at: z.int(),
  slots: z.int(),
  running: z.int(),
  draining: z.boolean(),
  storage_id: z.string().optional(),
  modes: z.array(ModeReport),
})
export type Heartbeat = z.infer<typeof Heartbeat>

/** Who does not beat for this long is gone. */
export const HEARTBEAT_TTL_MS = 15_000

export interface Heartbeats {
  beat(heartbeat: Heartbeat): Promise<void>
  /** A worker that ends says so; nobody waits for its silence. */
  remove(name: string): Promise<void>
  /** Workers that are there, by name; those that this build cannot read are left out. */
  list(): Promise<Heartbeat[]>
}

export function createHeartbeats(redis: Redis, deployment: DeploymentId): Heartbeats {
  const keys = queueKeys(deployment)
  return {
    beat: async (heartbeat) => {
      const now = Date.now()
      await redis.multi()
        .set(keys.worker(heartbeat.name), JSON.stringify(heartbeat), 'PX', HEARTBEAT_TTL_MS)
        .zadd(keys.workers, now, heartbeat.name)
        // Names only; what counts is whether the key is still there. An hour covers any difference of clocks.
        .zremrangebyscore(keys.workers, '-inf', String(now - 3_600_000))
        .exec()
    },
    remove: async (name) => {
      await redis.multi().del(keys.worker(name)).zrem(keys.workers, name).exec()
    },
    list: async () => {
      const names = await redis.zrange(keys.workers, 0, '-1')
      if (names.length === 0) return []
      const values = await redis.mget(names.toSorted().map((name) => keys.worker(name)))
      return values.filter((value) => value !== null).map((value) => Heartbeat.safeParse(JSON.parse(value)).data).filter((found) => found !== undefined)
    },
  }
}
