import { script, wishScript } from './script.ts'

// Inputs of a task: HASH `inputs:<task>`, of each input `<id>` (JSON, as it was asked), `<id> status`, `<id> event` (payload of its event),
// `<id> answer` (JSON). `asking` and `answers` in the record count the open and the answered ones. SET `waits:<task>`: the open ones for which the
// agent waits now; a take empties it, for what is alive is heard again. ZSET `expiring`: `<task> <id>` by the time at which nobody will answer any
// more; what is paused is not in it.

/** ARGV: id, claim, input id, input JSON, event payload, event id, ttl ms. Asked once, however often it is heard; the task waits as long as it is open. */
export const ASK = script(`
local id, claim, inputId, input, payload, eventId, ttl = unpack(ARGV)
local t = owned(id, claim)
if not t or t.state ~= 'running' and t.state ~= 'input_required' then return 0 end
local inputs, at = P .. 'inputs:' .. id, now()
local status = redis.call('HGET', inputs, inputId .. ' status')
if not status then
  status = 'open'
  redis.call('HSET', inputs, inputId, with(input, { 'asked_at', at }), inputId .. ' status', status, inputId .. ' event', payload)
  redis.call('HINCRBY', taskKey(id), 'asking', 1)
  redis.call('ZADD', P .. 'expiring', int(at + ttl), id .. ' ' .. inputId)
  append(t, 'task.input_required', with(payload, { 'expires_at', at + ttl }), eventId, at)
end
if status == 'open' then
  redis.call('SADD', P .. 'waits:' .. id, inputId)
  wait(t, at)
end
save(t)
return 1
`)

/** ARGV: id, claim, input id, status (used, told, withdrawn; unheard: it stays open), event payload of a withdrawal, event id. When the agent waits for nothing and has every answer, it works again. */
export const SETTLE = script(`
local id, claim, inputId, status, payload, eventId = unpack(ARGV)
local t = owned(id, claim)
if not t then return 0 end
local inputs, at = P .. 'inputs:' .. id, now()
local before = redis.call('HGET', inputs, inputId .. ' status')
if before == 'open' then redis.call('SREM', P .. 'waits:' .. id, inputId) end
if status == 'unheard' then
  status = nil
elseif before == 'open' and status == 'withdrawn' then
  redis.call('HINCRBY', taskKey(id), 'asking', -1)
  redis.call('ZREM', P .. 'expiring', id .. ' ' .. inputId)
  append(t, 'task.input_answered', payload, eventId, at)
elseif before == 'answered' and status ~= 'withdrawn' then
  redis.call('HINCRBY', taskKey(id), 'answers', -1)
elseif before ~= 'told' then
  status = nil
end
if status then redis.call('HSET', inputs, inputId .. ' status', status) end
if t.state == 'input_required' and not isAwaited(id) then
  count(t, at)
  if (tonumber(redis.call('HGET', taskKey(id), 'answers')) or 0) <= 0 then awake(t, at, 'running') end
end
save(t)
return 1
`)

/**
 * ARGV: id, input id, event payload, answer JSON, event id, queued event id, '1' when nobody answered in time. The first answer counts; sent again after a lost answer it changes
 * nothing. When the agent waits for nothing else time counts again (G9), and a task that nobody holds goes on.
 */
export const ANSWER = wishScript(`
local id, inputId, payload, answer, eventId, queuedId, isExpired = unpack(ARGV)
local t = open(id)
if not t then return { 'unknown' } end
local before = t.state
if over(before) then return { 'already_over', before, record(id) } end
local inputs, at = P .. 'inputs:' .. id, now()
local status = redis.call('HGET', inputs, inputId .. ' status')
local expiring = P .. 'expiring'
if isExpired == '1' and before == 'paused' then
  redis.call('ZREM', expiring, id .. ' ' .. inputId)
  return { 'no_such_input', before, record(id) }
end
-- it was asked again since somebody saw that its time was over
if isExpired == '1' and at < tonumber(redis.call('ZSCORE', expiring, id .. ' ' .. inputId) or 0) then return { 'not_open', before, record(id) } end
if not status then
  redis.call('ZREM', expiring, id .. ' ' .. inputId)
  return { 'no_such_input', before, record(id) }
end
if status ~= 'open' then
  local stored = redis.call('HGET', inputs, inputId .. ' answer')
  return { stored == answer and 'answered' or 'not_open', before, record(id) }
end
redis.call('HSET', inputs, inputId .. ' status', 'answered', inputId .. ' answer', answer)
redis.call('HINCRBY', taskKey(id), 'asking', -1)
redis.call('HINCRBY', taskKey(id), 'answers', 1)
redis.call('ZREM', expiring, id .. ' ' .. inputId)
redis.call('SREM', P .. 'waits:' .. id, inputId)
append(t, 'task.input_answered', payload, eventId, at)
if before == 'input_required' and not isAwaited(id) then
  if held(t) then count(t, at)
  else
    awake(t, at, 'queued')
    queue(t, 'answer', at, 0, queuedId)
  end
end
return { 'answered', before, saved('answered', t)[2] }
`)

/** Lua: after a pause the time of what is still open begins anew, and what the agent waits for is asked again. */
export const ASK_AGAIN = `
local function askAgain(t, by, eventIds, at)
  local inputs = P .. 'inputs:' .. t.id
  for _, field in ipairs(redis.call('HKEYS', inputs)) do
    local r = redis.call('HMGET', inputs, field, field .. ' status', field .. ' event')
    if r[2] == 'open' then
      -- not decoded: half a character, which JSON can write, would be an error in the middle of this. In a string the quotes would be escaped
      local due = at + string.match(r[1], '"ttl_ms":(%d+)')
      redis.call('ZADD', P .. 'expiring', int(due), t.id .. ' ' .. field)
      if redis.call('SISMEMBER', P .. 'waits:' .. t.id, field) == 1 then append(t, 'task.input_required', with('{"by":' .. by .. ',' .. string.sub(r[3], 2), { 'expires_at', due }), table.remove(eventIds), at) end
    end
  end
end
`
