import { createHash, randomBytes } from 'node:crypto'
import type { Redis } from 'ioredis'

import { type ApiKey, type ApiKeys, keysOf } from '@longshore/ledger'

/** A working day; every request begins it again. */
export const SESSION_SECONDS = 12 * 60 * 60

/** Who is logged in, in Redis: any replica knows it, and logging out is final. */
export interface Sessions {
  /** @returns the cookie's value, 256 random bits that say nothing */
  begin(apiKey: ApiKey): Promise<string>
  /** The key that it was begun with, unless it is over or the key was revoked. */
  find(token: string): Promise<ApiKey | undefined>
  end(token: string): Promise<void>
}

export function createSessions(redis: Redis, deployment: string, apiKeys: Pick<ApiKeys, 'list'>): Sessions {
  // Only a digest is kept: who can read Redis cannot take over a session.
  const keyOf = (token: string) => `${keysOf(deployment).prefix}console:session:${createHash('sha256').update(token).digest('hex')}`
  return {
    begin: async (apiKey) => {
      const token = randomBytes(32).toString('base64url')
      await redis.set(keyOf(token), apiKey.id, 'EX', SESSION_SECONDS)
      return token
    },
    find: async (token) => {
      const id = await redis.getex(keyOf(token), 'EX', SESSION_SECONDS)
      return id === null ? undefined : (await apiKeys.list()).find((apiKey) => apiKey.id === id)
    },
    end: async (token) => void (await redis.del(keyOf(token))),
  }
}
