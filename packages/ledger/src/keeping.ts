import { Archived, Kept, TaskId } from '@longshore/contracts'

import type { LedgerContext } from './create-ledger.ts'
import type { KeptTask, Ledger } from './ledger.ts'
import { script } from './script.ts'

/**
 * ARGV: id, bytes, edition or ''. Only of what is over. Who waits for its named workspace may have it now. The first word stands, also when it is sent again: a
 * keeper that was suspended in the middle saw what became of the workspace since, and what was collected does not come back.
 */
const SAVE_KEPT = script(`
local id, bytes, edition = unpack(ARGV)
redis.call('ZREM', P .. 'keeps', id)
local t = open(id)
if t then callNext(t) end
local endedAt = redis.call('HGET', taskKey(id), 'ended_at')
if edition == '' or not endedAt or redis.call('HEXISTS', taskKey(id), 'kept') == 1 then return 0 end
redis.call('HSET', taskKey(id), 'kept', '{"at":' .. int(now()) .. ',"bytes":' .. bytes .. ',"edition":"' .. edition .. '"}')
redis.call('ZADD', P .. 'kept', endedAt, id)
return 1
`)

/** ARGV: id. Ended by a build that kept nothing, or between two attempts. */
const OWE_KEEPING = script(`
local id = ARGV[1]
local t = open(id)
if not t or not over(t.state) or redis.call('HEXISTS', taskKey(id), 'kept') == 1 then return 0 end
return redis.call('ZADD', P .. 'keeps', 'NX', int(now()), id)
`)

/** ARGV: id, reason. What is gone stays gone, with its first reason. */
const SAVE_GONE = script(`
local id, why = ARGV[1], ARGV[2]
local kept = redis.call('HGET', taskKey(id), 'kept')
if not kept or string.find(kept, '"gone":', 1, true) then return 0 end
redis.call('HSET', taskKey(id), 'kept', string.sub(kept, 1, -2) .. ',"gone":{"at":' .. int(now()) .. ',"why":"' .. why .. '"}}')
return 1
`)

/** ARGV: what, owner, ms. */
const LEASE = script(`
local key = P .. 'lease:' .. ARGV[1]
local owner = redis.call('GET', key)
if owner and owner ~= ARGV[2] then return 0 end
redis.call('SET', key, ARGV[2], 'PX', ARGV[3])
return 1
`)

/** ARGV: what, owner. */
const RELEASE = script(`
local key = P .. 'lease:' .. ARGV[1]
if redis.call('GET', key) == ARGV[2] then redis.call('DEL', key) end
return 1
`)

/** What becomes of an ended task's files: to be kept, kept, gone. */
export function keeping({ redis, keys, run }: LedgerContext): Pick<Ledger, 'keeps' | 'oweKeeping' | 'saveKept' | 'keptTasks' | 'saveGone' | 'forgetKept' | 'lease' | 'release'> {
  return {
    keeps: async (after, limit) => (await redis.zrange(keys.keeps, after, String(after + limit - 1))).map((id) => TaskId.parse(id)),
    oweKeeping: async (taskId) => void (await run(OWE_KEEPING, taskId)),
    saveKept: async (taskId, kept) => void (await run(SAVE_KEPT, taskId, kept?.bytes ?? 0, kept?.edition ?? '')),
    async keptTasks(after, limit) {
      const ids = (await redis.zrange(keys.kept, after, String(after + limit - 1))).map((id) => TaskId.parse(id))
      const rows = await redis.pipeline(ids.map((id) => ['hmget', keys.task(id), 'brief', 'ended_at', 'kept', 'archived'])).exec()
      return ids.map((id, i) => keptFrom(id, (rows?.[i]?.[1] ?? []) as (string | null)[]))
    },
    saveGone: async (taskId, why) => void (await run(SAVE_GONE, taskId, why)),
    forgetKept: async (taskId) => void (await redis.zrem(keys.kept, taskId)),
    lease: async (what, owner, ms) => (await run(LEASE, what, owner, ms)) === 1,
    release: async (what, owner) => void (await run(RELEASE, what, owner)),
  }
}

/** Of a record that somebody deleted nothing is known but that its blobs have no task any more. */
function keptFrom(id: TaskId, [brief, endedAt, kept, archived]: readonly (string | null)[]): KeptTask {
  if (typeof brief !== 'string' || typeof kept !== 'string') return { id, agentId: '', endedAt: 0, kept: { at: 0, bytes: 0, edition: '0' } }
  return { id, agentId: (JSON.parse(brief) as { agent_id: string }).agent_id, endedAt: Number(endedAt), kept: Kept.parse(JSON.parse(kept)), ...(isThere(archived) ? { isArchived: true } : {}) }
}

function isThere(archived: string | null | undefined): boolean {
  return typeof archived === 'string' && Archived.parse(JSON.parse(archived)).gone === undefined
}
