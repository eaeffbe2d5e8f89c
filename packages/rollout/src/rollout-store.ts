import { randomBytes } from 'node:crypto'

import type { DeploymentId } from '@longshore/contracts'
import type { Redis } from 'ioredis'
import { RolloutPolicy } from './choose-mode.ts'

/** What the environment says about the share before anybody has set the live one. */
export interface StartValues { CANARY_OPENCODE_PERCENT?: number | undefined; OPENCODE_SERVER_ENABLED?: boolean | undefined }

/** The live policy in Redis. */
export interface RolloutStore {
  /**
   * The policy in force: the one that was set, else the start value (`updated_by: 'start'`). A start value is not stored, so a
   * changed environment holds after a restart until somebody sets the live share. Makes the salt at the first call.
   */
  get(start: StartValues): Promise<RolloutPolicy>
  /** Sets the share (0 to 100) from now on, in every process. The salt stays. @param wish names it: asked again within a week it changes nothing */
  set(percent: number, by: string, wish?: string): Promise<RolloutPolicy>
}

const FIELDS = "'salt', 'opencode_percent', 'updated_at', 'updated_by'"

const GET = `
redis.call('HSETNX', KEYS[1], 'salt', ARGV[1])
return redis.call('HMGET', KEYS[1], ${FIELDS})`

const SET = `
if ARGV[4] ~= '' and not redis.call('SET', KEYS[1] .. ':wish:' .. ARGV[4], 1, 'NX', 'EX', 604800) then return redis.call('HMGET', KEYS[1], ${FIELDS}) end
local now = redis.call('TIME')
redis.call('HSETNX', KEYS[1], 'salt', ARGV[1])
redis.call('HSET', KEYS[1], 'opencode_percent', ARGV[2], 'updated_by', ARGV[3], 'updated_at', now[1] * 1000 + math.floor(now[2] / 1000))
return redis.call('HMGET', KEYS[1], ${FIELDS})`

export function createRolloutStore(redis: Redis, deployment: DeploymentId): RolloutStore {
  const key = `{ls:${deployment}}:rollout`
  // Offered at every call, taken only by the first one ever.
  const salt = () => randomBytes(16).toString('hex')
  return {
    get: async (start) => readPolicy(await redis.eval(GET, 1, key, salt()), startPercent(start)),
    async set(percent, by, wish = '') {
      const share = RolloutPolicy.shape.opencode_percent.parse(percent)
      return readPolicy(await redis.eval(SET, 1, key, salt(), String(share), by, wish), share)
    },
  }
}

/**
 * The share of OpenCode mode before anybody set it: CANARY_OPENCODE_PERCENT; else OPENCODE_SERVER_ENABLED (true 100, false 0);
 * else 0, because docker mode is the stronger place. Where no engine answers, `npm start` sets CANARY_OPENCODE_PERCENT.
 */
export function startPercent(start: StartValues): number {
  return start.CANARY_OPENCODE_PERCENT ?? (start.OPENCODE_SERVER_ENABLED === true ? 100 : 0)
}

function readPolicy(reply: unknown, fallbackPercent: number): RolloutPolicy {
  const [salt, percent, updatedAt, updatedBy] = reply as (string | null)[]
  return RolloutPolicy.parse({
    v: 1,
    salt,
    opencode_percent: percent === null ? fallbackPercent : Number(percent),
    updated_at: Number(updatedAt ?? 0),
    updated_by: updatedBy ?? 'start',
  })
}
