import { TaskId } from '@longshore/contracts'

import type { LedgerContext } from './create-ledger.ts'
import type { Ledger } from './ledger.ts'
import { script } from './script.ts'

/** ARGV: id. How a task ended stays for as long as its record does: readers come to an end, and a cursor that stands there still fits. */
const TRIM_LOG = script(`
local id = ARGV[1]
local t = open(id)
if t and not over(t.state) then return 0 end
if redis.call('ZREM', P .. 'logs', id) == 0 or not t then return 0 end
local log = P .. 'log:' .. id
redis.call('LTRIM', log, -1, -1)
redis.call('HSET', taskKey(id), 'base', int(t.seq - redis.call('LLEN', log)))
redis.call('DECRBY', P .. 'logs:bytes', int(t.bytes))
return t.bytes
`)

/** What bounds how much is remembered of tasks that are over. */
export function retention({ redis, keys, run }: LedgerContext): Pick<Ledger, 'wholeLogs' | 'logBytes' | 'trimLog' | 'trimFleet'> {
  return {
    async wholeLogs(limit) {
      const found = (await redis.zrange(keys.logs, 0, String(limit - 1), 'WITHSCORES')).flat()
      return Array.from({ length: found.length / 2 }, (_, i) => ({ id: TaskId.parse(found[2 * i]), endedAt: Number(found[2 * i + 1]) }))
    },
    logBytes: async () => Number((await redis.get(keys.logBytes)) ?? 0),
    trimLog: async (taskId) => Number(await run(TRIM_LOG, taskId)),
    trimFleet: (before) => redis.xtrim(keys.fleet, 'MINID', '~', String(Math.max(0, before))),
  }
}
