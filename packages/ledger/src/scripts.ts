import { MAX_EVENTS_PER_TASK, MAX_LOG_BYTES_PER_TASK, MAX_WAITING_MESSAGES } from '@longshore/contracts'

import { ALLOT } from './allotments.ts'
import { RECORD_VERSION } from './record.ts'
import { EXPIRE, readScript, script } from './script.ts'
import { SPEND } from './usage.ts'

/**
 * An owner that held its task for longer before it died is not held against the task: what kills its worker does so soon, and a host that
 * goes away now and then is no task's doing. On top of that the lock of a dead worker, which passes before anybody can take over.
 */
export const POISON_WINDOW_MS = 60_000 + 5_000

/** Lua: whether what the handle names belongs to an attempt that is over. */
const DISCARDS = `
local function discards(t) return t.handle and cjson.decode(t.handle).discard == true end
`

/** ARGV: id, agent, idempotency hash or '', fingerprint, brief, prompt, event id, idempotency ttl ms, the agent's tokens and cost for a day or '', folded title, then what `allot` wants to know. */
export const SUBMIT = script(`${SPEND}${ALLOT}
local id, agent, key, print, brief, prompt, eventId, ttl, tokens, cost, title, bytes, mostBytes, name, mostNames, idle = unpack(ARGV)
local idem = P .. 'idem:' .. agent .. ':' .. key
if key ~= '' then
  local known = redis.call('HMGET', idem, 'task', 'print')
  if known[1] and redis.call('EXISTS', taskKey(known[1])) == 1 then
    if known[2] ~= print then return { 'conflict', known[1] } end
    return { 'known', record(known[1]) }
  end
end
if redis.call('EXISTS', taskKey(id)) == 1 then
  local t = open(id)
  local first = redis.call('LINDEX', P .. 'log:' .. id, 0) or ''
  -- sent again after a lost answer
  if string.find(first, '"id":"' .. eventId .. '"', 1, true) then return { waits(t) and 'waits' or 'new', int(t.created_at) } end
  return redis.error_reply('DUPLICATE task id')
end
local at = now()
local spent = (tokens ~= '' or cost ~= '') and spentBy(agent, at)
if spent and (tokens ~= '' and spent[1] >= tonumber(tokens) or cost ~= '' and spent[2] >= tonumber(cost)) then return { 'budget', spent } end
local full = allot(agent, bytes, mostBytes, name, mostNames, idle, at)
if full then return full end
takeAllotted(id, agent, bytes, name, at)
if key ~= '' then
  redis.call('HSET', idem, 'task', id, 'print', print)
  redis.call('PEXPIRE', idem, ttl)
end
local t = { id = id, ticket = 0, seq = 0, state = 'queued', brief = brief, created_at = at, changes = { 'brief', brief, 'prompt', prompt, 'state', 'queued', 'created_at', int(at), 'rv', '${RECORD_VERSION}' } }
redis.call('ZADD', P .. 'tasks', int(at), id)
redis.call('ZADD', P .. 'agent:' .. agent, int(at), id)
redis.call('SADD', P .. 'live', id)
redis.call('HINCRBY', P .. 'counts', 'queued', 1)
reindex(t, nil, 'queued')
indexTitle(t, title)
local line = lineOf(t)
if line then redis.call('RPUSH', line, id) end
queue(t, 'submitted', at, 0, eventId)
save(t)
return { waits(t) and 'waits' or 'new', int(at) }
`)

/**
 * ARGV: id, ticket, worker, event id, payload with worker and isolation, '1' when only executions on the next are taken over, engine id or ''.
 * A task with a handle is taken over, without a new attempt, unless the handle is only there to be disposed of. Sent again after a lost answer it changes nothing: `taken` is the take's own name.
 */
export const TAKE = script(`${EXPIRE}${DISCARDS}
local id, n, worker, eventId, payload, isBound, engine = unpack(ARGV)
local t = open(id)
if not t then return { 'unknown' } end
if over(t.state) then return { 'over' } end
if t.ticket ~= tonumber(n) then return { 'stale_ticket' } end
if t.state ~= 'queued' and not held(t) then return { 'not_runnable' } end
local lives = isBound == '1' and t.handle and cjson.decode(t.handle).engine_id
if lives and lives ~= engine then return { 'elsewhere', lives } end
local at = now()
if expire(t, at, eventId) then return { 'over' } end
if waits(t) then return { 'stale_ticket' } end
local line = lineOf(t)
local home = line and redis.call('HGET', P .. 'homes', line)
if home then set(t, 'home', home) end
local isHeld = t.state ~= 'queued'
local kind = (t.handle and not discards(t) or isHeld) and 'takeover' or 'started'
if isHeld then
  local before = redis.call('HMGET', taskKey(id), 'taken', 'taken_at', 'crashes', 'taken_as')
  if before[1] == eventId then return { before[4] or 'takeover', record(id) } end
  local isSoon = before[2] and at - before[2] < ${POISON_WINDOW_MS}
  -- an owner that let go is alive
  if before[1] ~= '' then set(t, 'crashes', isSoon and (tonumber(before[3]) or 0) + 1 or 1) end
end
if t.asking then redis.call('DEL', P .. 'waits:' .. id) end
awake(t, at, 'running')
move(t, 'running')
set(t, 'claim', t.claim + 1)
set(t, 'worker', worker)
set(t, 'taken', eventId)
set(t, 'taken_as', kind)
set(t, 'taken_at', at)
if t.rv < ${RECORD_VERSION} then set(t, 'rv', ${RECORD_VERSION}) end
if t.route then redis.call('HDEL', taskKey(id), 'route') end
redis.call('ZREM', P .. 'pending', id .. '-' .. n)
if kind == 'started' then start(t, payload, eventId, at) end
return saved(kind, t)
`)

/** ARGV: id, claim, retrying event id, failure JSON, started event id, started payload. Sent again after a lost answer it changes nothing. */
export const RESTART = script(`
local id, claim, retryId, failure, startId, payload = unpack(ARGV)
local t = owned(id, claim)
if not t or t.state ~= 'running' then return { 'lost' } end
if redis.call('HGET', taskKey(id), 'restarted') == startId then return { 'started', record(id) } end
local at = now()
redis.call('HDEL', taskKey(id), 'handle', 'position', 'route')
append(t, 'task.retrying', '{"attempt":' .. int(t.attempt) .. ',"failure":' .. failure .. ',"delay_ms":0}', retryId, at)
start(t, payload, startId, at)
set(t, 'restarted', startId)
retell(t)
return saved('started', t)
`)

/** Whoever reads a log is not to take its end for the end of the work. */
const LOG_FULL = JSON.stringify({ text: '[longshore] The log of this task is full: what its agent says and does from here on is left out of it. get_task_output has all that is kept.\n', stream: 'stderr' })

/**
 * ARGV: id, claim, position or '', where the full output stands or '', then (event id, type, payload) for each event.
 * A full log drops what an execution says (counted in `dropped`, and said once), but not what it costs; changes of state are never dropped.
 * A client sends again what it got no answer for: a batch, named by its last event, is appended and counted once (G5), whatever came in between.
 */
export const APPEND = script(`${SPEND}
local id, claim, position, output = unpack(ARGV, 1, 4)
local t = owned(id, claim)
if not t then return -1 end
local newest = #ARGV > 4 and ARGV[#ARGV - 2]
if newest and t.batch == newest then return t.seq end
local at = now()
local room = ${MAX_EVENTS_PER_TASK} - redis.call('LLEN', P .. 'log:' .. id)
for i = 5, #ARGV, 3 do
  if ARGV[i + 1] == 'task.usage' then spend(t, ARGV[i + 2], at) end
  if room <= 1 or t.bytes >= ${MAX_LOG_BYTES_PER_TASK} then
    if redis.call('HINCRBY', taskKey(id), 'dropped', 1) == 1 then append(t, 'task.output', [[${LOG_FULL}]], ARGV[i], at) end
  else append(t, ARGV[i + 1], ARGV[i + 2], ARGV[i], at) end
  room = room - 1
end
if position ~= '' then set(t, 'position', position) end
if output ~= '' then set(t, 'output', output) end
if newest then set(t, 'batch', newest) end
save(t)
return t.seq
`)

/** ARGV: id, claim, then field and value pairs to set; none only confirms the claim. */
export const SET_OWNED = script(`
local id, claim = ARGV[1], ARGV[2]
if not owned(id, claim) then return 0 end
if #ARGV > 2 then redis.call('HSET', taskKey(id), unpack(ARGV, 3)) end
return 1
`)

/**
 * ARGV: id, claim, reason, delay ms, failure JSON of a retry or '', '1' when it is not counted, retrying event id, queued event id. A retry forgets the handle, which the caller disposed of, unless it is marked: then something of it may be left.
 * An attempt that is handed over before anything was started was none: the next take begins it again under the same number.
 * What was asked to end meanwhile ends here: nobody else would do so before its next ticket (G3). What was asked to pause is paused instead, unless something of it may be alive;
 * what waits for a person goes on doing so, without an owner, and gets its next ticket with the answer.
 */
export const REQUEUE = script(`${DISCARDS}
local id, claim, reason, delay, failure, isUncounted, retryId, queuedId = unpack(ARGV)
local t = owned(id, claim)
if not t then return { 'lost' } end
local asked = redis.call('HGET', taskKey(id), 'cancel')
if asked then
  finish(t, 'cancelled', (string.gsub(asked, '^{"at":%d+,', '{')), queuedId, {})
  return { 'ended', record(id) }
end
-- what may be alive is paused by its next owner, not left behind
local handle = failure == '' and t.handle and cjson.decode(t.handle)
local lives = handle and not handle.checkpoint and not handle.discard
local pausing = not lives and redis.call('HGET', taskKey(id), 'pause')
local at = now()
if t.state ~= 'running' and t.state ~= 'input_required' then return { 'lost' } end
set(t, 'claim', t.claim + 1)
redis.call('HDEL', taskKey(id), 'worker', 'crashes', 'route')
if failure ~= '' then
  redis.call('HDEL', taskKey(id), 'position')
  retell(t)
  if not discards(t) then redis.call('HDEL', taskKey(id), 'handle') end
  append(t, 'task.retrying', '{"attempt":' .. int(t.attempt) .. ',"failure":' .. failure .. ',"delay_ms":' .. int(delay) .. '}', retryId, at)
end
local isNone = failure == '' and (not t.handle or discards(t)) or isUncounted == '1'
if isNone and t.attempt > 0 then set(t, 'attempt', t.attempt - 1) end
if pausing then
  pause(t, (string.gsub(pausing, '^{"at":%d+,', '{')), at, queuedId)
  return saved('paused', t)
end
if t.state == 'input_required' and not lives and failure == '' and isAwaited(id) then return saved('waiting', t) end
awake(t, at, 'queued')
move(t, 'queued')
queue(t, reason, at, tonumber(delay), queuedId)
return saved('queued', t)
`)

/** ARGV: id, claim, message id, event id. Sent again after a lost answer it changes nothing: the first that waits is another then. */
export const DELIVERED = script(`
local id, claim, messageId, eventId = unpack(ARGV)
local t = owned(id, claim)
if not t then return 0 end
local mail = P .. 'mail:' .. id
local first = redis.call('LINDEX', mail, 0)
if not first or string.match(first, '^%S+') ~= messageId then return 1 end
redis.call('RPUSH', P .. 'told:' .. id, redis.call('LPOP', mail))
redis.call('LTRIM', P .. 'told:' .. id, -${MAX_WAITING_MESSAGES}, -1)
set(t, 'mail', redis.call('LLEN', mail))
append(t, 'task.message_delivered', '{"message_id":"' .. messageId .. '"}', eventId, now())
save(t)
return 1
`)

/** ARGV: id, claim. */
export const RETELL = script(`
local t = owned(ARGV[1], ARGV[2])
if not t then return 0 end
retell(t)
save(t)
return 1
`)

/** ARGV: id, claim, state, payload, event id, then record fields to set. Answers whether it won, the state that stands, and the duration if it won; the same when it is sent again. */
export const END = script(`
local id, claim, to, payload, eventId = unpack(ARGV, 1, 5)
local t = owned(id, claim)
if t then awake(t, now(), 'running') end
local duration = t and finish(t, to, payload, eventId, { unpack(ARGV, 6) })
if duration then return { 'won', to, duration } end
local stands = redis.call('HMGET', taskKey(id), 'state', 'last')
return { stands[2] == eventId and 'won' or 'lost', stands[1] }
`)

/** ARGV: id, seq, limit. Record fields that a reader needs, and of what is kept of the log the event with that seq and those after it. */
export const READ = readScript(`
local r = redis.call('HMGET', P .. 'task:' .. ARGV[1], 'state', 'seq', 'base')
if not r[1] then return {} end
local base = tonumber(r[3] or '0')
local known = math.max(ARGV[2] - base, 0)
return { tonumber(r[2]), base, redis.call('LRANGE', P .. 'log:' .. ARGV[1], math.max(known - 1, 0), known + ARGV[3] - 1) }
`)

/** ARGV: id. Nothing of an ended task is left: from now on it can be kept, and after that whoever waits for its named workspace may go on. */
export const STRIKE_DEBT = script(`
local t = open(ARGV[1])
if redis.call('ZREM', P .. 'debts', ARGV[1]) == 1 and t then
  redis.call('ZADD', P .. 'keeps', 'XX', int(now()), ARGV[1])
  callNext(t)
end
return 1
`)
