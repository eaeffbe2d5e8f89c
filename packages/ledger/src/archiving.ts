import { Archived, TaskId } from '@longshore/contracts'

import type { LedgerContext } from './create-ledger.ts'
import type { ArchivedTask, Ledger } from './ledger.ts'
import { script } from './script.ts'

/** ARGV: id, what is archived as JSON. Of what is over only; the first document stands, also when it is gone by now. */
const SAVE_ARCHIVED = script(`
local id, archived = ARGV[1], ARGV[2]
local t = open(id)
if not t or not over(t.state) then return '' end
local at = now()
if redis.call('HSETNX', taskKey(id), 'archived', with(archived, { 'at', at })) == 1 then redis.call('ZADD', P .. 'archived', int(at), id) end
return redis.call('HGET', taskKey(id), 'archived')
`)

/** ARGV: id, reason. */
const SAVE_ARCHIVE_GONE = script(`
local id, why = ARGV[1], ARGV[2]
local archived = redis.call('HGET', taskKey(id), 'archived')
if not archived or string.find(archived, '"gone":{"at":', 1, true) then return 0 end
redis.call('HSET', taskKey(id), 'archived', string.sub(archived, 1, -2) .. ',"gone":{"at":' .. int(now()) .. ',"why":"' .. why .. '"}}')
return 1
`)

/** What becomes of an archived conversation: kept, gone. */
export function archiving({ redis, keys, run }: LedgerContext): Pick<Ledger, 'saveArchived' | 'archivedTasks' | 'saveArchiveGone' | 'forgetArchived'> {
  return {
    async saveArchived(taskId, archived) {
      const stands = await run(SAVE_ARCHIVED, taskId, JSON.stringify(archived))
      return stands === '' ? undefined : Archived.parse(JSON.parse(String(stands)))
    },
    async archivedTasks(after, limit) {
      const ids = (await redis.zrange(keys.archived, after, String(after + limit - 1))).map((id) => TaskId.parse(id))
      const rows = await redis.pipeline(ids.map((id) => ['hmget', keys.task(id), 'brief', 'archived'])).exec()
      return ids.map((id, i) => archivedFrom(id, (rows?.[i]?.[1] ?? []) as (string | null)[]))
    },
    saveArchiveGone: async (taskId, why) => void (await run(SAVE_ARCHIVE_GONE, taskId, why)),
    forgetArchived: async (taskId) => void (await redis.zrem(keys.archived, taskId)),
  }
}

/** Of a record that somebody deleted nothing is known but that its document has no task any more. */
function archivedFrom(id: TaskId, [brief, archived]: readonly (string | null)[]): ArchivedTask {
  if (typeof brief !== 'string' || typeof archived !== 'string') return { id, agentId: '', archived: { at: 0, by: '', edition: '0', bytes: 0, messages: 0 } }
  return { id, agentId: (JSON.parse(brief) as { agent_id: string }).agent_id, archived: Archived.parse(JSON.parse(archived)) }
}
