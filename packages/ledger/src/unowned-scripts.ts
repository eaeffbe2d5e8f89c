import { DEFAULT_PAUSED_TTL_MS, MAX_EVENTS_PER_TASK, MAX_WAITING_MESSAGES } from '@longshore/contracts'

import { ASK_AGAIN } from './input-scripts.ts'
import { EXPIRE, script, wishScript } from './script.ts'

/** ARGV: id, event id, payload, request JSON. The time is added here. */
export const CANCEL = wishScript(`
local id, eventId, payload, request = unpack(ARGV)
local t = open(id)
if not t then return { 'unknown' } end
local before = t.state
if over(before) then return { 'already_over', before, record(id) } end
if held(t) then
  if redis.call('HEXISTS', taskKey(id), 'cancel') == 0 then redis.call('HSET', taskKey(id), 'cancel', with(request, { 'at', now() })) end
  ring(id, 'control')
  return { 'requested', before, record(id) }
end
finish(t, 'cancelled', payload, eventId, {})
return { 'ended', before, record(id) }
`)

/**
 * ARGV: id, event id, request JSON. A task whose execution may be alive is paused by its owner, now or when it has one again.
 * Asking twice is harmless.
 */
export const PAUSE = wishScript(`
local id, eventId, request = unpack(ARGV)
local t = open(id)
if not t then return { 'unknown' } end
local before = t.state
if over(before) then return { 'already_over', before, record(id) } end
if before == 'paused' then return { 'unchanged', before, record(id) } end
local at = now()
local handle = t.handle and cjson.decode(t.handle)
if held(t) or handle and not handle.checkpoint and not handle.discard then
  redis.call('HSETNX', taskKey(id), 'pause', with(request, { 'at', at }))
  ring(id, 'control')
  return { 'requested', before, record(id) }
end
pause(t, request, at, eventId)
return { 'paused', before, saved('paused', t)[2] }
`)

/**
 * ARGV: id, event id, who as JSON, then event ids for what is asked again. What was left of the deadline begins to count again; a pause that
 * nobody carried out yet is taken back. A task whose agent waits for what nobody has answered waits for that again.
 */
export const RESUME = wishScript(`${ASK_AGAIN}
local id, eventId, by = unpack(ARGV, 1, 3)
local t = open(id)
if not t then return { 'unknown' } end
local before = t.state
if over(before) then return { 'already_over', before, record(id) } end
if before ~= 'paused' then
  local withdrawn = redis.call('HDEL', taskKey(id), 'pause') == 1
  return { withdrawn and 'withdrawn' or 'unchanged', before, record(id) }
end
local at = now()
local r = redis.call('HMGET', taskKey(id), 'remaining_ms', 'paused_at', 'paused_ms')
set(t, 'paused_ms', (r[3] or 0) + at - (r[2] or at))
redis.call('HDEL', taskKey(id), 'paused_at')
if (tonumber(t.asking) or 0) > 0 then askAgain(t, by, { unpack(ARGV, 4) }, at) end
if isAwaited(id) then
  move(t, 'input_required')
  set(t, 'waiting_at', at)
  return { 'resumed', before, saved('resumed', t)[2] }
end
if r[1] then set(t, 'deadline_at', at + r[1]) end
redis.call('HDEL', taskKey(id), 'remaining_ms')
move(t, 'queued')
queue(t, 'resume', at, 0, eventId, by)
return { 'resumed', before, saved('resumed', t)[2], waits(t) and 1 or 0 }
`)

/** ARGV: id, event id, message id, event payload, the message as it is. It waits for the agent in the task's mailbox. A full log takes none: it would have no end. Sent again after a lost answer it changes nothing, unless another came in between. */
export const POST = wishScript(`
local id, eventId, messageId, payload, message = unpack(ARGV)
local t = open(id)
if not t then return { 'unknown' } end
if over(t.state) then return { 'already_over', t.state, record(id) } end
local mail = P .. 'mail:' .. id
local newest = redis.call('LINDEX', mail, -1)
if t.last == eventId or newest and string.match(newest, '^%S+') == messageId then return { 'waiting', t.state, record(id) } end
if redis.call('LLEN', mail) >= ${MAX_WAITING_MESSAGES} or redis.call('LLEN', P .. 'log:' .. id) >= ${MAX_EVENTS_PER_TASK} then return { 'full', t.state, record(id) } end
set(t, 'mail', redis.call('RPUSH', mail, messageId .. ' ' .. message))
append(t, 'task.message', payload, eventId, now())
return { 'waiting', t.state, saved('waiting', t)[2] }
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

/** ARGV: id, ticket, event id, grace ms. An owner ends its task at the deadline itself; this is for those that have none, were never started, or stay paused for too long. 2: what is paused is to be resumed instead. */
export const TIMEOUT_UNOWNED = script(`${EXPIRE}
local id, n, eventId, grace = unpack(ARGV)
local t = open(id)
if not t or t.ticket ~= tonumber(n) then return 0 end
local at = now()
if t.state == 'paused' then
  local ttl = brief(t).paused_ttl_ms or ${DEFAULT_PAUSED_TTL_MS}
  if at < redis.call('HGET', taskKey(id), 'paused_at') + ttl then return 0 end
  local last = brief(t).paused_end
  if last == 'resume' then return 2 end
  if last == 'cancel' then return finish(t, 'cancelled', '{"by":"policy","reason":"it was paused for longer than paused_ttl_ms"}', eventId, {}) and 1 or 0 end
  return finish(t, 'timeout', '{"limit":"paused_ttl_ms","limit_ms":' .. int(ttl) .. '}', eventId, { 'limit', 'paused_ttl_ms' }) and 1 or 0
end
if over(t.state) or t.state == 'input_required' and not t.deadline_at then return 0 end
if not t.deadline_at then return expire(t, at, eventId) and 1 or 0 end
if at < t.deadline_at + (t.state == 'queued' and 0 or tonumber(grace)) then return 0 end
-- its owner died with the wish
local asked = redis.call('HGET', taskKey(id), 'cancel')
if asked then return finish(t, 'cancelled', (string.gsub(asked, '^{"at":%d+,', '{')), eventId, {}) and 1 or 0 end
local payload = '{"limit":"timeout_ms","limit_ms":' .. int(brief(t).timeout_ms) .. '}'
return finish(t, 'timeout', payload, eventId, { 'limit', 'timeout_ms' }) and 1 or 0
`)

/** ARGV: id, ticket, event id. A ticket that is still pending is not lost: the dispatcher brings it when it is due. */
export const REISSUE = script(`
local id, n, eventId = unpack(ARGV)
local t = open(id)
if not t or t.ticket ~= tonumber(n) or (t.state ~= 'queued' and not held(t)) then return {} end
local due = redis.call('ZSCORE', P .. 'pending', id .. '-' .. n)
-- its turn may have come without a word: who was before it may be gone from here
if due == int(NEVER) and not waits(t) then redis.call('ZADD', P .. 'pending', int(now()), id .. '-' .. n) end
if due then return {} end
local at = now()
if t.state == 'queued' then queue(t, 'ticket_lost', at, 0, eventId) else nextTicket(t, at) end
save(t)
return record(id)
`)

/**
 * ARGV: id, ticket, engine id or ''. Without an engine only what has a route: a take forgets it, and whoever took the task keeps it.
 * A ticket that is not due yet keeps its time. Sent again it changes nothing: the ticket is another by then.
 */
export const REROUTE = script(`
local id, n, engine = unpack(ARGV)
local t = open(id)
if not t or t.ticket ~= tonumber(n) or (t.state ~= 'queued' and not held(t)) then return {} end
if engine == '' and not t.route then return {} end
local pending = P .. 'pending'
local due = redis.call('ZSCORE', pending, id .. '-' .. n)
redis.call('ZREM', pending, id .. '-' .. n)
nextTicket(t, math.max(now(), due ~= int(NEVER) and tonumber(due) or 0))
if engine == '' then redis.call('HDEL', taskKey(id), 'route') else set(t, 'route', engine) end
save(t)
return record(id)
`)

/** ARGV: a fresh id. Whoever is first names the deployment; all others learn the name. */
export const IDENTITY = script(`
local key = P .. 'identity'
if redis.call('EXISTS', key) == 0 then redis.call('HSET', key, 'id', ARGV[1], 'created_at', int(now())) end
return redis.call('HMGET', key, 'id', 'created_at')
`)
