import { MAX_EVENTS_PER_TASK } from '@longshore/contracts'

import { script } from './script.ts'

/** ARGV: id, agent, idempotency hash or '', fingerprint, brief, prompt, event id, idempotency ttl ms. */
export const SUBMIT = script(`
local id, agent, key, print, brief, prompt, eventId, ttl = unpack(ARGV)
local idem = P .. 'idem:' .. agent .. ':' .. key
if key ~= '' then
  local known = redis.call('HMGET', idem, 'task', 'print')
  if known[1] and redis.call('EXISTS', taskKey(known[1])) == 1 then
    if known[2] ~= print then return { 'conflict', known[1] } end
    return { 'known', record(known[1]) }
  end
end
if redis.call('EXISTS', taskKey(id)) == 1 then return redis.error_reply('DUPLICATE task id') end
local at = now()
if key ~= '' then
  redis.call('HSET', idem, 'task', id, 'print', print)
  redis.call('PEXPIRE', idem, ttl)
end
local t = { id = id, ticket = 0, seq = 0, brief = brief, changes = { 'brief', brief, 'prompt', prompt, 'state', 'queued', 'created_at', int(at) } }
redis.call('ZADD', P .. 'tasks', int(at), id)
redis.call('ZADD', P .. 'agent:' .. agent, int(at), id)
redis.call('SADD', P .. 'live', id)
redis.call('HINCRBY', P .. 'counts', 'queued', 1)
queue(t, 'submitted', at, 0, eventId)
save(t)
return { 'new', int(at) }
`)

/** ARGV: id, ticket, worker, event id, payload with worker and isolation. A task with a handle is taken over, without a new attempt. */
export const TAKE = script(`
local id, n, worker, eventId, payload = unpack(ARGV)
local t = open(id)
if not t then return { 'unknown' } end
if over(t.state) then return { 'over' } end
if t.ticket ~= tonumber(n) then return { 'stale_ticket' } end
if t.state ~= 'queued' and t.state ~= 'running' then return { 'not_runnable' } end
local kind = (t.handle or t.state == 'running') and 'takeover' or 'started'
move(t, 'running')
set(t, 'claim', t.claim + 1)
set(t, 'worker', worker)
redis.call('ZREM', P .. 'pending', id .. '-' .. n)
if kind == 'started' then start(t, payload, eventId, now()) end
return saved(kind, t)
`)

/** ARGV: id, claim, retrying event id, failure JSON, started event id, started payload. Sent again after a lost answer it changes nothing. */
export const RESTART = script(`
local id, claim, retryId, failure, startId, payload = unpack(ARGV)
local t = owned(id, claim)
if not t or t.state ~= 'running' then return { 'lost' } end
if t.last == startId then return { 'started', record(id) } end
local at = now()
redis.call('HDEL', taskKey(id), 'handle', 'position')
append(t, 'task.retrying', '{"attempt":' .. int(t.attempt) .. ',"failure":' .. failure .. ',"delay_ms":0}', retryId, at)
start(t, payload, startId, at)
return saved('started', t)
`)

/**
 * ARGV: id, claim, position or '', then (event id, type, payload) for each event.
 * A full log drops what an execution says (counted in \`dropped\`); changes of state are never dropped.
 * A client sends again what it got no answer for: events that are in the log already are not appended twice (G5).
 */
export const APPEND = script(`
local id, claim, position = ARGV[1], ARGV[2], ARGV[3]
local t = owned(id, claim)
if not t then return -1 end
if #ARGV > 3 and t.last == ARGV[#ARGV - 2] then return t.seq end
local at = now()
local room = ${MAX_EVENTS_PER_TASK} - redis.call('LLEN', P .. 'log:' .. id)
for i = 4, #ARGV, 3 do
  if room <= 0 then redis.call('HINCRBY', taskKey(id), 'dropped', 1)
  else append(t, ARGV[i + 1], ARGV[i + 2], ARGV[i], at) end
  room = room - 1
end
if position ~= '' then set(t, 'position', position) end
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
 * ARGV: id, claim, reason, delay ms, failure JSON of a retry or '', retrying event id, queued event id. A retry forgets the handle; the caller disposed of it.
 * An attempt that is handed over before anything was started was none: the next take begins it again under the same number.
 * What was asked to end meanwhile ends here: nobody else would do so before its next ticket (G3).
 */
export const REQUEUE = script(`
local id, claim, reason, delay, failure, retryId, queuedId = unpack(ARGV)
local t = owned(id, claim)
if not t then return { 'lost' } end
local asked = redis.call('HGET', taskKey(id), 'cancel')
if asked then
  finish(t, 'cancelled', (string.gsub(asked, '^{"at":%d+,', '{')), queuedId, {})
  return { 'ended', record(id) }
end
if not move(t, 'queued') then return { 'lost' } end
local at = now()
set(t, 'claim', t.claim + 1)
redis.call('HDEL', taskKey(id), 'worker')
if failure ~= '' then
  redis.call('HDEL', taskKey(id), 'handle', 'position')
  append(t, 'task.retrying', '{"attempt":' .. int(t.attempt) .. ',"failure":' .. failure .. ',"delay_ms":' .. int(delay) .. '}', retryId, at)
elseif not t.handle and t.attempt > 0 then
  set(t, 'attempt', t.attempt - 1)
end
queue(t, reason, at, tonumber(delay), queuedId)
return saved('queued', t)
`)

/** ARGV: id, claim, state, payload, event id, then record fields to set. Answers whether it won, the state that stands, and the duration if it won; the same when it is sent again. */
export const END = script(`
local id, claim, to, payload, eventId = unpack(ARGV, 1, 5)
local t = owned(id, claim)
local duration = t and finish(t, to, payload, eventId, { unpack(ARGV, 6) })
if duration then return { 'won', to, duration } end
local stands = redis.call('HMGET', taskKey(id), 'state', 'last')
return { stands[2] == eventId and 'won' or 'lost', stands[1] }
`)

/** ARGV: id, event id, payload, request JSON. The time is added here. */
export const CANCEL = script(`
local id, eventId, payload, request = unpack(ARGV)
local t = open(id)
if not t then return { 'unknown' } end
local before = t.state
if over(before) then return { 'already_over', before, record(id) } end
if before == 'running' then
  if redis.call('HEXISTS', taskKey(id), 'cancel') == 0 then redis.call('HSET', taskKey(id), 'cancel', with(request, { 'at', now() })) end
  ring(id, 'control')
  return { 'requested', before, record(id) }
end
finish(t, 'cancelled', payload, eventId, {})
return { 'ended', before, record(id) }
`)

/** ARGV: id, ticket, event id, payload, failure JSON. Answers as END does. */
export const FAIL_UNOWNED = script(`
local id, n, eventId, payload, failure = unpack(ARGV)
local t = open(id)
if not t then return { 'unknown' } end
local isCurrent = not over(t.state) and t.ticket == tonumber(n)
local duration = isCurrent and finish(t, 'failed', payload, eventId, { 'failure', failure })
if duration then return { 'won', 'failed', duration } end
return { 'lost', t.state }
`)

/** ARGV: id, ticket, event id, grace ms. An owner ends its task at the deadline itself; this is for those that have none. */
export const TIMEOUT_UNOWNED = script(`
local id, n, eventId, grace = unpack(ARGV)
local t = open(id)
if not t or t.ticket ~= tonumber(n) or not t.deadline_at or (t.state ~= 'queued' and t.state ~= 'running') then return 0 end
if now() < t.deadline_at + (t.state == 'running' and tonumber(grace) or 0) then return 0 end
local payload = '{"limit":"timeout_ms","limit_ms":' .. int(cjson.decode(t.brief).timeout_ms) .. '}'
return finish(t, 'timeout', payload, eventId, { 'limit', 'timeout_ms' }) and 1 or 0
`)

/** ARGV: id, ticket, event id. A ticket that is still pending is not lost: the dispatcher brings it when it is due. */
export const REISSUE = script(`
local id, n, eventId = unpack(ARGV)
local t = open(id)
if not t or t.ticket ~= tonumber(n) or (t.state ~= 'queued' and t.state ~= 'running') then return {} end
if redis.call('ZSCORE', P .. 'pending', id .. '-' .. n) then return {} end
local at = now()
if t.state == 'queued' then queue(t, 'ticket_lost', at, 0, eventId) else nextTicket(t, at) end
save(t)
return record(id)
`)

/** ARGV: id, seq, limit. Record fields that a reader needs, and of what is kept of the log the event with that seq and those after it. */
export const READ = script(`
local r = redis.call('HMGET', taskKey(ARGV[1]), 'state', 'seq', 'base')
if not r[1] then return {} end
local base = tonumber(r[3] or '0')
local known = math.max(ARGV[2] - base, 0)
return { tonumber(r[2]), base, redis.call('LRANGE', P .. 'log:' .. ARGV[1], math.max(known - 1, 0), known + ARGV[3] - 1) }
`)
