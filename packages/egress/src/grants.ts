import { setTimeout as delay } from 'node:timers/promises'
import { type Admission, type Admitted, type DeploymentId, EgressRefusal, narrower, Network } from '@longshore/contracts'
import type { Redis } from 'ioredis'
import { z } from 'zod'
import { egressKeys, nameOf } from './keys.ts'
import { isSecretOf, newToken, parseToken } from './token.ts'

/** What a token is good for, as Redis holds it. */
const Grant = z.object({ v: z.literal(1), digest: z.string(), network: Network, address: z.string(), expires_at: z.int() })
export type Grant = z.infer<typeof Grant>

/** What the deployment gives a task that asks for nothing, and the most that one gets. */
export interface NetworkPolicy { normal: Network; most: Network }

export interface Grants {
  admit(admission: Admission): Promise<string>
  revoke(execution: Admitted): Promise<void>
  /** Executions that are let through at this address now. */
  count(address: string, now: number): Promise<number>
  takeRefusals(execution: Admitted): Promise<EgressRefusal[]>
}

/** Refusals are told every second or so; what nobody asks for is forgotten. */
const REFUSALS_TTL_MS = 60 * 60_000
/** An agent that asks for ever new hosts fills no Redis. */
const REFUSALS_KEPT = 100

/** The worker's side of the tokens. */
export function createGrants(redis: Redis, deployment: DeploymentId, { normal, most }: NetworkPolicy): Grants {
  const keys = egressKeys(deployment)
  return {
    admit: async ({ address, network, expiresAt, ...execution }) => {
      const { token, digest } = newToken(execution)
      const grant: Grant = { v: 1, digest, network: narrower(network ?? normal, most), address, expires_at: expiresAt }
      const done = await redis.multi()
        .set(keys.grant(execution), JSON.stringify(grant), 'PXAT', expiresAt)
        .zremrangebyscore(keys.grants(address), 0, Date.now())
        .zadd(keys.grants(address), expiresAt, nameOf(execution))
        .exec()
      const failed = done?.find(([error]) => error !== null)?.[0]
      if (failed != null) throw failed
      return token
    },
    revoke: async (execution) => {
      const grant = decode(await redis.get(keys.grant(execution)))
      if (grant === undefined) return
      // First what lets through; a name that stays in the list is gone at its expiry.
      await redis.del(keys.grant(execution))
      await redis.zrem(keys.grants(grant.address), nameOf(execution))
    },
    count: (address, now) => liveGrants(redis, deployment, address, now),
    takeRefusals: async (execution) => {
      const key = keys.refused(execution)
      const done = await redis.multi().hgetall(key).del(key).exec()
      return Object.entries(z.record(z.string(), z.string()).parse(done?.[0]?.[1] ?? {})).map(asRefusal).filter((one) => one !== undefined)
    },
  }
}

/** Executions that are let through at this address now. */
export async function liveGrants(redis: Redis, deployment: DeploymentId, address: string, now: number): Promise<number> {
  return redis.zcount(egressKeys(deployment).grants(address), now, '+inf')
}

function asRefusal([field, count]: [string, string]): EgressRefusal | undefined {
  const [reason, ...host] = field.split(' ')
  return EgressRefusal.safeParse({ reason, host: host.join(' '), count: Number(count) }).data
}

function decode(raw: string | null): Grant | undefined {
  try {
    return raw === null ? undefined : Grant.safeParse(JSON.parse(raw)).data
  } catch {
    return undefined
  }
}

/** A token that is good, and what for. */
export interface Pass extends Admitted { network: Network; expiresAt: number }

export interface Passes {
  /** undefined: unknown, revoked, expired. */
  check(token: string): Promise<Pass | undefined>
  /** Whether a pass that was good still is; true while Redis cannot say. */
  isGood(pass: Pass): Promise<boolean>
  noteRefusal(execution: Admitted, refusal: Omit<EgressRefusal, 'count'>): void
}

/** How long a token is believed in while Redis is away, since Redis last vouched for it. */
const BELIEVED_MS = 60_000
/** A Redis that is stalled answers nothing and breaks no connection: it is away, too. */
const LATE_MS = 2_000
const REMEMBERED = 10_000

async function inTime<T>(answer: Promise<T>): Promise<T> {
  const late = new AbortController()
  try {
    return await Promise.race([answer, delay(LATE_MS, undefined, { signal: late.signal, ref: false }).then(() => Promise.reject(new Error('Redis is late')))])
  } finally {
    late.abort()
  }
}

/** The proxy's side: Redis is asked at every request, so that a revoked token is worth nothing at once. */
export function createPasses(redis: Redis, deployment: DeploymentId, now: () => number): Passes {
  const keys = egressKeys(deployment)
  const known = new Map<string, { grant: Grant; at: number }>()
  const look = async (execution: Admitted): Promise<Grant | undefined> => {
    const name = nameOf(execution)
    try {
      const grant = decode(await inTime(redis.get(keys.grant(execution))))
      known.delete(name)
      if (grant !== undefined) known.set(name, { grant, at: now() })
      for (const [oldest] of known.size > REMEMBERED ? known : []) {
        known.delete(oldest)
        break
      }
      return grant
    } catch {
      const last = known.get(name)
      return last !== undefined && now() - last.at < BELIEVED_MS ? last.grant : undefined
    }
  }
  return {
    check: async (token) => {
      const parsed = parseToken(token)
      if (parsed === undefined) return undefined
      const { secret, ...execution } = parsed
      const grant = await look(execution)
      if (grant === undefined || grant.expires_at <= now() || !isSecretOf(grant.digest, secret)) return undefined
      return { ...execution, network: grant.network, expiresAt: grant.expires_at }
    },
    isGood: async ({ taskId, claim, expiresAt }) => {
      if (expiresAt <= now()) return false
      return inTime(redis.exists(keys.grant({ taskId, claim }))).then((count) => count === 1, () => true)
    },
    noteRefusal: ({ taskId, claim }, { reason, host }) => {
      const key = keys.refused({ taskId, claim })
      const note = async (): Promise<void> => {
        if ((await redis.hlen(key)) < REFUSALS_KEPT) await redis.multi().hincrby(key, `${reason} ${host.slice(0, 300)}`, 1).pexpire(key, REFUSALS_TTL_MS).exec()
      }
      note().catch(() => {}) // the agent was told; whoever watches hears of the next one
    },
  }
}
