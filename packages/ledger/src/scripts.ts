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
redis.call('HSET', taskKey(id), 'brief', brief, 'prompt', prompt, 'state', 'queued', 'created_at', int(at))
redis.call('ZADD', P .. 'tasks', int(at), id)
redis.call('ZADD', P .. 'agent:' .. agent, int(at), id)
redis.call('SADD', P .. 'live', id)
redis.call('HINCRBY', P .. 'counts', 'queued', 1)
queue(id, 'submitted', at, 0, eventId)
return { 'new', int(at) }
`)

/** ARGV: id, ticket, worker, event id, payload with worker and isolation. A task with a handle is taken over, without a new attempt. */
export const TAKE = script(`
local id, n, worker, eventId, payload = unpack(ARGV)
local k = taskKey(id)
local r = redis.call('HMGET', k, 'state', 'ticket', 'handle')
local state = r[1]
if not state then return { 'unknown' } end
if over(state) then return { 'over' } end
if r[2] ~= n then return { 'stale_ticket' } end
if state ~= 'queued' and state ~= 'running' then return { 'not_runnable' } end
move(id, state, 'running')
local at = now()
local claim = redis.call('HINCRBY', k, 'claim', 1)
redis.call('HSET', k, 'worker', worker)
redis.call('ZREM', P .. 'pending', id .. '-' .. n)
if r[3] or state == 'running' then return { 'takeover', record(id) } end
start(id, claim, payload, eventId, at)
return { 'started', record(id) }
`)

/** ARGV: id, claim, retrying event id, failure JSON, started event id, started payload. */
export const RESTART = script(`
local id, claim, retryId, failure, startId, payload = unpack(ARGV)
if owned(id, claim) ~= 'running' then return { 'lost' } end
local k = taskKey(id)
local at = now()
local attempt = tonumber(redis.call('HGET', k, 'attempt') or '0') + 1
redis.call('HDEL', k, 'handle', 'position')
append(id, 'task.retrying', '{"attempt":' .. int(attempt) .. ',"failure":' .. failure .. ',"delay_ms":0}', retryId, at)
start(id, tonumber(claim), payload, startId, at)
return { 'started', record(id) }
`)

/**
 * ARGV: id, claim, position or '', then (event id, type, payload) for each event.
 * A full log drops what an execution says (counted in \`dropped\`); changes of state are never dropped.
 */
export const APPEND = script(`
local id, claim, position = ARGV[1], ARGV[2], ARGV[3]
if not owned(id, claim) then return -1 end
local at = now()
for i = 4, #ARGV, 3 do
  if full(id) then redis.call('HINCRBY', taskKey(id), 'dropped', 1)
  else append(id, ARGV[i + 1], ARGV[i + 2], ARGV[i], at) end
end
if position ~= '' then redis.call('HSET', taskKey(id), 'position', position) end
return tonumber(redis.call('HGET', taskKey(id), 'seq'))
`)

/** ARGV: id, claim, then field and value pairs to set; none only confirms the claim. */
export const SET_OWNED = script(`
local id, claim = ARGV[1], ARGV[2]
if not owned(id, claim) then return 0 end
if #ARGV > 2 then redis.call('HSET', taskKey(id), unpack(ARGV, 3)) end
return 1
`)

/** ARGV: id, claim, reason, delay ms, failure JSON of a retry or '', retrying event id, queued event id. A retry forgets the handle; the caller disposed of it. */
export const REQUEUE = script(`
local id, claim, reason, delay, failure, retryId, queuedId = unpack(ARGV)
local from = owned(id, claim)
if not from or not move(id, from, 'queued') then return { 'lost' } end
local k = taskKey(id)
local at = now()
redis.call('HINCRBY', k, 'claim', 1)
redis.call('HDEL', k, 'worker')
if failure ~= '' then
  redis.call('HDEL', k, 'handle', 'position')
  local attempt = tonumber(redis.call('HGET', k, 'attempt')) + 1
  append(id, 'task.retrying', '{"attempt":' .. int(attempt) .. ',"failure":' .. failure .. ',"delay_ms":' .. int(delay) .. '}', retryId, at)
end
queue(id, reason, at, tonumber(delay), queuedId)
return { 'queued', record(id) }
`)

/** ARGV: id, claim, state, payload, event id, then record fields to set. */
export const END = script(`
local id, claim, to, payload, eventId = unpack(ARGV, 1, 5)
local from = owned(id, claim)
if not from then return { 'lost', record(id) } end
if not finish(id, from, to, payload, eventId, { unpack(ARGV, 6) }) then return { 'lost', record(id) } end
return { 'won', record(id) }
`)

/** ARGV: id, event id, payload, request JSON. The time is added here. */
export const CANCEL = script(`
local id, eventId, payload, request = unpack(ARGV)
local k = taskKey(id)
local state = redis.call('HGET', k, 'state')
if not state then return { 'unknown' } end
if over(state) then return { 'already_over', state, record(id) } end
if state == 'running' then
  if redis.call('HEXISTS', k, 'cancel') == 0 then redis.call('HSET', k, 'cancel', with(request, { 'at', now() })) end
  ring(id, 'control')
  return { 'requested', state, record(id) }
end
finish(id, state, 'cancelled', payload, eventId, {})
return { 'ended', state, record(id) }
`)

/** ARGV: id, ticket, event id, payload, failure JSON. */
export const FAIL_UNOWNED = script(`
local id, n, eventId, payload, failure = unpack(ARGV)
local r = redis.call('HMGET', taskKey(id), 'state', 'ticket')
if not r[1] then return { 'unknown' } end
if over(r[1]) or r[2] ~= n then return { 'lost', record(id) } end
finish(id, r[1], 'failed', payload, eventId, { 'failure', failure })
return { 'won', record(id) }
`)

/** ARGV: id, ticket, event id. */
export const REISSUE = script(`
local id, n, eventId = unpack(ARGV)
local r = redis.call('HMGET', taskKey(id), 'state', 'ticket')
if not r[1] or r[2] ~= n or (r[1] ~= 'queued' and r[1] ~= 'running') then return {} end
local at = now()
redis.call('ZREM', P .. 'pending', id .. '-' .. n)
if r[1] == 'queued' then queue(id, 'ticket_lost', at, 0, eventId) else nextTicket(id, at) end
return record(id)
`)

/** ARGV: id, first element, last element. Record fields that a reader needs, and that stretch of the log. */
export const READ = script(`
local r = redis.call('HMGET', taskKey(ARGV[1]), 'state', 'seq', 'base')
if not r[1] then return {} end
local base = tonumber(r[3] or '0')
return { tonumber(r[2]), base, redis.call('LRANGE', P .. 'log:' .. ARGV[1], ARGV[2] - base, ARGV[3] - base) }
`)

