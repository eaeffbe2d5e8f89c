import type { Redis } from 'ioredis'
import { z } from 'zod'

import { notedSinks, outboxPrefix, PRELUDE } from './script.ts'

/** What a receiver will never take, and why. */
export const DeadLetter = z.object({
  /** The outbox's name of it; unique within its sink. */
  id: z.string(),
  sink: z.string(),
  lane: z.string(),
  /** Redis ms. */
  at: z.number(),
  reason: z.string(),
  kind: z.string(),
  task_id: z.string().optional(),
})
export type DeadLetter = z.infer<typeof DeadLetter>

/** Of all sinks of a deployment. */
export interface DeadLetters {
  /** Newest first. */
  list(limit: number, offset: number): Promise<{ total: number; letters: DeadLetter[] }>
  /** Back into the outbox, for the next notifier to send. @param which its id, or `all` @returns how many there were */
  replay(which: string): Promise<number>
}

/** ARGV: id. The entry goes to the end of its lane; where a newer version of it waits already, that one stays. */
const REPLAY = `${PRELUDE}
local found = redis.call('HGET', P .. 'dead:letters', ARGV[1])
if not found then return 0 end
local dead = cjson.decode(found)
forgetDead(ARGV[1])
if redis.call('HSETNX', P .. 'outbox', ARGV[1], dead.notice) == 1 then
  redis.call('ZADD', P .. 'ages', 'NX', now(), ARGV[1])
  enqueue(dead.line, dead.lane, ARGV[1])
  ring()
end
return 1`

const Stored = z.object({ lane: z.string(), at: z.number(), reason: z.string(), notice: z.string() })
const Told = z.object({ kind: z.string(), task_id: z.string().optional() })

export function createDeadLetters(redis: Redis, deployment: string): DeadLetters {
  const newest = async (sink: string, most: number): Promise<DeadLetter[]> => {
    if (most < 1) return []
    const prefix = outboxPrefix(deployment, sink)
    const ids = await redis.zrevrange(`${prefix}dead:times`, 0, most - 1)
    const stored = ids.length === 0 ? [] : await redis.hmget(`${prefix}dead:letters`, ...ids)
    return ids.flatMap((id, i) => letterOf(sink, id, stored[i]))
  }
  return {
    async list(limit, offset) {
      const sinks = await notedSinks(redis, deployment)
      const found = await Promise.all(sinks.map((sink) => newest(sink, limit + offset)))
      const totals = await Promise.all(sinks.map((sink) => redis.zcard(`${outboxPrefix(deployment, sink)}dead:times`)))
      const letters = found.flat().toSorted((a, b) => b.at - a.at).slice(offset, offset + limit)
      return { total: totals.reduce((sum, n) => sum + n, 0), letters }
    },
    async replay(which) {
      let replayed = 0
      for (const sink of await notedSinks(redis, deployment)) {
        const prefix = outboxPrefix(deployment, sink)
        const ids = which === 'all' ? await redis.zrange(`${prefix}dead:times`, '0', '-1') : [which]
        for (const id of ids) replayed += Number(await redis.eval(REPLAY, 1, prefix, id))
      }
      return replayed
    },
  }
}

function letterOf(sink: string, id: string, stored: string | null | undefined): DeadLetter[] {
  if (stored === null || stored === undefined) return []
  const { notice, ...rest } = Stored.parse(JSON.parse(stored))
  const { kind, task_id } = Told.parse(JSON.parse(notice))
  return [{ id, sink, ...rest, kind, ...(task_id === undefined ? {} : { task_id }) }]
}
