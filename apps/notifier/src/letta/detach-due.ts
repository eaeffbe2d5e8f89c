import type { Redis } from 'ioredis'
import { z } from 'zod'

import type { Clock, Log } from '@longshore/contracts'
import { type LettaApi, troubleOf } from './letta-api.ts'

const Due = z.tuple([z.string(), z.string()])

/** Blocks of ended tasks that are to leave their agents' memory, by when. */
export interface Detaching {
  /** The first time counts. */
  add(agentId: string, blockId: string): Promise<void>
  /** Detaches what is due. Several notifiers may: it does nothing the second time. */
  round(): Promise<void>
}

/** What a round takes on; a Letta that is away is asked once. */
const PAGE = 50

const AGAIN_MS = 30_000

/** @param prefix the sink's, ends with a colon */
export function createDetaching(redis: Redis, prefix: string, afterMs: number, deps: { api: Pick<LettaApi, 'detach'>; now: Clock; log: Log }): Detaching {
  const key = `${prefix}detach`
  return {
    add: async (agentId, blockId) => void (await redis.zadd(key, 'NX', deps.now() + afterMs, JSON.stringify([agentId, blockId]))),
    async round() {
      for (const stored of await redis.zrange(key, '-inf', String(deps.now()), 'BYSCORE', 'LIMIT', 0, PAGE)) {
        const [agentId, blockId] = Due.parse(JSON.parse(stored))
        const trouble = await deps.api.detach(agentId, blockId).then(() => undefined, troubleOf)
        if (trouble !== undefined && trouble.kind !== 'refused') {
          // Behind the others: one at which Letta always fails keeps none of them in its agent's memory.
          await redis.zadd(key, 'XX', deps.now() + AGAIN_MS, stored)
          return
        }
        if (trouble !== undefined) deps.log.warn({ agent: agentId, block: blockId, reason: trouble.reason }, 'a block could not be detached and stays')
        await redis.zrem(key, stored)
      }
    },
  }
}
