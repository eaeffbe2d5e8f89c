import { createHash, randomBytes } from 'node:crypto'
import type { Redis } from 'ioredis'
import { z } from 'zod'

import { AgentId, LongshoreError } from '@longshore/contracts'

import { keysOf } from './keys.ts'

/** What a key may do. `tasks`: its agent's own tasks. `operate`: every task, keys, rollout, queues. `answer`: answer questions of tasks. */
export const Scope = z.enum(['tasks', 'operate', 'answer'])
export type Scope = z.infer<typeof Scope>

/** What is kept of a key; the key itself is shown once, when it is made. */
export const ApiKey = z.object({
  id: z.string(),
  name: z.string().max(80),
  /** Whose tasks; absent for an operator. */
  agent_id: AgentId.optional(),
  scopes: z.array(Scope),
  created_at: z.int(),
})
export type ApiKey = z.infer<typeof ApiKey>

/** `answers`: the agent may answer the questions of its own tasks, too. */
export type KeyHolder = { agentId: AgentId; answers?: boolean } | 'operator'

export interface ApiKeys {
  /** A fresh key: 256 random bits behind a readable prefix. */
  make(holder: KeyHolder, name: string): Promise<{ key: string; apiKey: ApiKey }>
  /** Makes a given key valid; a second time changes nothing. @throws LongshoreError when it is somebody else's already */
  provision(key: string, holder: KeyHolder, name: string): Promise<ApiKey>
  list(): Promise<ApiKey[]>
  /** Whether there was one. */
  revoke(id: string): Promise<boolean>
  verify(key: string): Promise<ApiKey | undefined>
}

/**
 * Keys at rest are SHA-256 digests: they are long and random, so a slow hash would protect nothing more
 * (a key that an operator provisions has at least 16 characters, which settings check).
 */
export function createApiKeys(redis: Redis, deployment: string, now: () => number = Date.now): ApiKeys {
  const store = keysOf(deployment).apiKeys
  const read = (json: string | null) => (json === null ? undefined : ApiKey.parse(JSON.parse(json)))
  const provision: ApiKeys['provision'] = async (key, holder, name) => {
    const digest = digestOf(key)
    await redis.hsetnx(store, digest, JSON.stringify(apiKeyOf(digest, holder, name, now())))
    const stored = read(await redis.hget(store, digest))
    if (stored === undefined) throw new Error('the key was revoked while it was made')
    if (stored.agent_id !== (holder === 'operator' ? undefined : holder.agentId)) throw taken(stored)
    return stored
  }
  const entries = async () => Object.entries(await redis.hgetall(store)).map(([digest, json]) => ({ digest, apiKey: ApiKey.parse(JSON.parse(json)) }))
  return {
    provision,
    async make(holder, name) {
      const key = `${holder === 'operator' ? 'lso' : 'lsa'}_${randomBytes(32).toString('base64url')}`
      return { key, apiKey: await provision(key, holder, name) }
    },
    list: async () => (await entries()).map(({ apiKey }) => apiKey).sort((a, b) => a.created_at - b.created_at),
    async revoke(id) {
      const found = (await entries()).find(({ apiKey }) => apiKey.id === id)
      return found !== undefined && (await redis.hdel(store, found.digest)) === 1
    },
    verify: async (key) => read(await redis.hget(store, digestOf(key))),
  }
}

/** One key for two holders would give the one what is the other's, and nobody would notice. */
function taken({ id, agent_id }: ApiKey): LongshoreError {
  return new LongshoreError('invalid_input', `this key belongs to ${agent_id === undefined ? 'an operator' : `the agent ${agent_id}`} already (${id})`, {
    next: `give each holder a key of its own, or revoke this one first: longshore keys revoke ${id}`,
  })
}

function apiKeyOf(digest: string, holder: KeyHolder, name: string, created_at: number): ApiKey {
  const id = `key-${digest.slice(0, 12)}`
  return holder === 'operator'
    ? { id, name, scopes: ['tasks', 'operate', 'answer'], created_at }
    : { id, name, agent_id: AgentId.parse(holder.agentId), scopes: ['tasks', ...(holder.answers === true ? ['answer' as const] : [])], created_at }
}

function digestOf(key: string): string {
  return createHash('sha256').update(key).digest('hex')
}
