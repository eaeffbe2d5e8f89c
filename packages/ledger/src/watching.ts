import { MAX_OBSERVERS } from '@longshore/contracts'

import { controlAnswer } from './control-answer.ts'
import type { LedgerContext } from './create-ledger.ts'
import type { Ledger } from './ledger.ts'
import { script } from './script.ts'

/** An entry of the fleet that is no event. */
export const OBSERVERS_CHANGED = 'observers'

/**
 * Lua: who watches a task. Until somebody is added or removed that stands in its immutable part, of which nothing more is known. No event tells of a change, so
 * the fleet does, with the number of the last event: whoever follows it looks at the task again.
 */
const WATCHERS = `
local function watchers(t)
  local stored = redis.call('HGET', taskKey(t.id), 'watchers')
  if stored then return cjson.decode(stored) end
  local list = {}
  for _, observer in ipairs(brief(t).observers or {}) do list[#list + 1] = { id = observer, type = 'human', read_only = true, by = brief(t).agent_id, at = t.created_at } end
  return list
end
local function saveWatchers(t, list)
  set(t, 'watchers', #list == 0 and '[]' or cjson.encode(list))
  redis.call('XADD', P .. 'fleet', 'MAXLEN', '~', 1000000, '*', 't', t.id, 's', int(t.seq), 'y', '${OBSERVERS_CHANGED}')
  ring(t.id, '${OBSERVERS_CHANGED}')
end
`

/** ARGV: id, the watcher as JSON. */
const WATCH = script(`${WATCHERS}
local id, watcher = ARGV[1], cjson.decode(ARGV[2])
local t = open(id)
if not t then return { 'unknown' } end
if over(t.state) then return { 'already_over', t.state, record(id) } end
local list, outcome = watchers(t), 'added'
watcher.at = now()
for i, one in ipairs(list) do
  if one.id == watcher.id then
    if one.type == watcher.type and one.read_only == watcher.read_only then return { 'unchanged', t.state, record(id) } end
    list[i], outcome = watcher, 'changed'
  end
end
if outcome == 'added' and #list >= ${MAX_OBSERVERS} then return { 'full', t.state, record(id) } end
if outcome == 'added' then list[#list + 1] = watcher end
saveWatchers(t, list)
return { outcome, t.state, saved(outcome, t)[2] }
`)

/** ARGV: id, whom. */
const UNWATCH = script(`${WATCHERS}
local id, observer = unpack(ARGV)
local t = open(id)
if not t then return { 'unknown' } end
if over(t.state) then return { 'already_over', t.state, record(id) } end
local list = watchers(t)
for i, one in ipairs(list) do
  if one.id == observer then
    table.remove(list, i)
    saveWatchers(t, list)
    return { 'removed', t.state, saved('removed', t)[2] }
  end
end
return { 'unchanged', t.state, record(id) }
`)

/** Who watches a task: of its people, whom its room invites and its end mentions. */
export function watching({ run }: LedgerContext): Pick<Ledger, 'watch' | 'unwatch'> {
  return {
    watch: async (taskId, watcher) => controlAnswer(await run(WATCH, taskId, JSON.stringify(watcher))),
    unwatch: async (taskId, observer) => controlAnswer(await run(UNWATCH, taskId, observer)),
  }
}
