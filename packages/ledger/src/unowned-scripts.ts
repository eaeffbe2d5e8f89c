import { EXPIRE, script } from './script.ts'

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

/** ARGV: id, ticket, event id, grace ms. An owner ends its task at the deadline itself; this is for those that have none, or were never started. */
export const TIMEOUT_UNOWNED = script(`${EXPIRE}
local id, n, eventId, grace = unpack(ARGV)
local t = open(id)
if not t or t.ticket ~= tonumber(n) or (t.state ~= 'queued' and t.state ~= 'running') then return 0 end
local at = now()
if not t.deadline_at then return expire(t, at, eventId) and 1 or 0 end
if at < t.deadline_at + (t.state == 'running' and tonumber(grace) or 0) then return 0 end
local payload = '{"limit":"timeout_ms","limit_ms":' .. int(brief(t).timeout_ms) .. '}'
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

/**
 * ARGV: id, ticket, engine id or ''. Without an engine only what has a route: a take forgets it, and whoever took the task keeps it.
 * A ticket that is not due yet keeps its time. Sent again it changes nothing: the ticket is another by then.
 */
export const REROUTE = script(`
local id, n, engine = unpack(ARGV)
local t = open(id)
if not t or t.ticket ~= tonumber(n) or (t.state ~= 'queued' and t.state ~= 'running') then return {} end
if engine == '' and not t.route then return {} end
local pending = P .. 'pending'
local due = redis.call('ZSCORE', pending, id .. '-' .. n)
redis.call('ZREM', pending, id .. '-' .. n)
nextTicket(t, math.max(now(), tonumber(due) or 0))
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
