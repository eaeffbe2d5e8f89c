import type { Redis } from 'ioredis'

import { keysOf } from './keys.ts'

/** Whose they are: the key that made them, and the name that the client was given. */
export interface SubscriptionOwner { keyId: string; session: string }

/** What clients of sessions asked to be told of, so that any replica can tell them. */
export interface Subscriptions {
  /** @param place from where on. @returns whether there was room */
  add(owner: SubscriptionOwner, uri: string, place: string): Promise<boolean>
  remove(owner: SubscriptionOwner, uri: string): Promise<void>
  /** With their places. Keeps them alive. */
  list(owner: SubscriptionOwner): Promise<Map<string, string>>
  forget(owner: SubscriptionOwner): Promise<void>
  /** What to listen to for changes of them. */
  topic(owner: SubscriptionOwner): string
}

const MAX = 100
/** A client that was away for longer begins anew. */
const TTL_SECONDS = 24 * 60 * 60

export function createSubscriptions(redis: Redis, deployment: string): Subscriptions {
  const keys = keysOf(deployment)
  const topic = ({ keyId, session }: SubscriptionOwner) => `mcp:${keyId}:${session}`
  const keyOf = (owner: SubscriptionOwner) => `${keys.prefix}${topic(owner)}`
  const ring = (owner: SubscriptionOwner) => redis.publish(keys.bell(topic(owner)), '')
  return {
    topic,
    async add(owner, uri, place) {
      const key = keyOf(owner)
      if ((await redis.hlen(key)) >= MAX && (await redis.hexists(key, uri)) === 0) return false
      await redis.hset(key, uri, place)
      await redis.expire(key, TTL_SECONDS)
      await ring(owner)
      return true
    },
    async remove(owner, uri) {
      await redis.hdel(keyOf(owner), uri)
      await ring(owner)
    },
    async list(owner) {
      const [found] = await Promise.all([redis.hgetall(keyOf(owner)), redis.expire(keyOf(owner), TTL_SECONDS)])
      return new Map(Object.entries(found))
    },
    async forget(owner) {
      await redis.del(keyOf(owner))
      await ring(owner)
    },
  }
}
