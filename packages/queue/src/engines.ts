import type { Redis } from 'ioredis'

import { type DeploymentId, Mode } from '@longshore/contracts'

import { queueKeys, type QueueKeys, queueName } from './names.ts'

/** An engine that workers reached, or that tickets were for, and its queue. */
export interface Engine {
  mode: Mode
  engineId: string
  queue: string
  /** Since a worker that was not ending last said that it can run tasks there. Infinity: never. */
  silentMs: number
}

/** The name of an engine in Redis. A mode has no `@`. */
export function memberOf(mode: Mode, engineId: string): string {
  return `${mode}@${engineId}`
}

/** All engines that are known, by name. */
export async function listEngines(redis: Redis, deployment: DeploymentId): Promise<Engine[]> {
  const [[seconds, micros], found] = await Promise.all([redis.time(), redis.zrange(queueKeys(deployment).engines, 0, '-1', 'WITHSCORES')])
  const now = Number(seconds) * 1_000 + Number(micros) / 1_000
  // WITHSCORES answers a flat list in RESP2 and pairs in RESP3.
  const flat = found.flat()
  return Array.from({ length: flat.length / 2 }, (_, i) => engineOf(String(flat[2 * i]), Number(flat[2 * i + 1]), now)).filter((engine) => engine !== undefined).toSorted((a, b) => (a.queue < b.queue ? -1 : 1))
}

function engineOf(member: string, heardAt: number, now: number): Engine | undefined {
  const at = member.indexOf('@')
  const mode = Mode.safeParse(member.slice(0, at)).data
  if (mode === undefined) return undefined
  const engineId = member.slice(at + 1)
  return { mode, engineId, queue: queueName(mode, engineId), silentMs: heardAt === 0 ? Infinity : Math.max(0, now - heardAt) }
}

// Everything that BullMQ keeps of a queue, in one step and without pausing it: what a crash leaves half done would stay paused.
const FORGET = `
local member, base = ARGV[1], ARGV[2]
local heard = redis.call('ZSCORE', KEYS[1], member)
local time = redis.call('TIME')
if heard and time[1] * 1000 - heard < tonumber(ARGV[3]) then return 0 end
for _, id in ipairs(redis.call('LRANGE', base .. 'active', 0, -1)) do
  if redis.call('EXISTS', base .. id .. ':lock') == 1 then return 0 end
end
local function drop(ids) for _, id in ipairs(ids) do redis.call('UNLINK', base .. id, base .. id .. ':logs') end end
for _, list in ipairs({ 'wait', 'active' }) do drop(redis.call('LRANGE', base .. list, 0, -1)) end
for _, set in ipairs({ 'prioritized', 'delayed', 'completed', 'failed' }) do drop(redis.call('ZRANGE', base .. set, 0, -1)) end
for _, part in ipairs({ 'wait', 'active', 'prioritized', 'delayed', 'completed', 'failed', 'paused', 'meta', 'id', 'events', 'marker', 'stalled', 'stalled-check', 'pc' }) do redis.call('UNLINK', base .. part) end
redis.call('ZREM', KEYS[1], member)
return 1
`

/**
 * Removes an engine that was silent for `silentMs` with its queue, unless somebody works on a ticket of it. What may
 * still wait there is stale, or will be missed by the reconciler.
 */
export async function forgetEngine(redis: Redis, keys: QueueKeys, { mode, engineId, queue }: Engine, silentMs: number): Promise<boolean> {
  return (await redis.eval(FORGET, 1, keys.engines, memberOf(mode, engineId), keys.of(queue, ''), silentMs)) === 1
}
