import { Redis } from 'ioredis'
import { Complaint } from '../command.ts'
import { type EnsuredRedis, ensureRedis, type EnsureRedisOptions } from '../redis/ensure-redis.ts'

/** The Redis of a stack. */
export interface StackRedis extends EnsuredRedis {
  /** Rejects when a Redis that we run ended by itself; pending otherwise. @throws Complaint */
  ended: Promise<never>
}

/** About 5 s: a Redis that came back by then was only slow. */
const TRIES = 20
const EVERY_MS = 250

/** Gets a Redis ready, and watches it if it is ours. @throws Complaint when it does not start */
export async function openRedis(options: EnsureRedisOptions): Promise<StackRedis> {
  const redis = await ensureRedis(options).catch((error: unknown) => {
    throw new Complaint(`Redis does not start: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
  })
  // An operator's Redis may go and come back: the programs wait for it.
  if (options.redisUrl !== undefined) return { ...redis, ended: new Promise(() => undefined) }
  const watch = new Redis(redis.url, { retryStrategy: (times) => times > TRIES ? null : EVERY_MS, maxRetriesPerRequest: null })
  const ended = new Promise<never>((_resolve, reject) => {
    watch.on('end', () => reject(new Complaint(`The private Redis ended by itself; its log is in ${options.home}/redis. "npm start" goes on with the tasks that it kept.`)))
  })
  watch.on('error', () => undefined)
  ended.catch(() => undefined)
  return {
    ...redis, ended,
    async stop() {
      watch.removeAllListeners('end').disconnect()
      await redis.stop()
    },
  }
}
