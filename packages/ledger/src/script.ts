import { createHash } from 'node:crypto'
import type { Redis } from 'ioredis'

import { END_STATES, TRANSITIONS } from '@longshore/contracts'

import { INDEX } from './task-index.ts'
import { LINE } from './workspace-line.ts'

// As text and a set of literals: a table would be built anew by every call of every script.
const ALLOWED = Object.entries(TRANSITIONS).flatMap(([from, to]) => to.map((state) => `${from}>${state}`)).join(' ')
const OVER = END_STATES.map((state) => `${state} = true`).join(', ')

/**
 * What every script begins with. KEYS[1] is the deployment's prefix.
 * A script opens a task (one read), changes it with these words, and saves it (one write): calls are what scripts cost.
 * `append` is the only writer of events: log, fleet stream and doorbell in one step (G5).
 * `move` is the only writer of `state`: it asks the state table of contracts, which is rendered into the script.
 */
const PRELUDE = `
local P = KEYS[1]
local ALLOWED = ' ${ALLOWED} '
local OVER = { ${OVER} }
local function now() local t = redis.call('TIME'); return t[1] * 1000 + math.floor(t[2] / 1000) end
local function int(n) return string.format('%d', n) end
local function taskKey(id) return P .. 'task:' .. id end
local function over(state) return OVER[state] == true end
-- once per step: the bell says that something is new, the log says what
local rung = false
local function ring(id, what)
  if rung then return end
  rung = true
  redis.call('PUBLISH', P .. 'bell:' .. id, what)
  redis.call('PUBLISH', P .. 'bell:fleet', id)
end
-- adds number fields to a JSON object that came as text: payloads are never decoded here, so nothing is rounded or reordered
local function with(json, fields)
  local parts = {}
  for i = 1, #fields, 2 do parts[#parts + 1] = '"' .. fields[i] .. '":' .. int(fields[i + 1]) end
  local body = string.sub(json, 2, -2)
  if body ~= '' then parts[#parts + 1] = body end
  return '{' .. table.concat(parts, ',') .. '}'
end
-- the part of a record that decisions are made by; nil for an unknown task
local function open(id)
  local r = redis.call('HMGET', taskKey(id), 'state', 'claim', 'ticket', 'attempt', 'seq', 'handle', 'started_at', 'deadline_at', 'brief', 'last', 'route', 'rv', 'batch', 'asking', 'created_at', 'log_bytes')
  if not r[1] then return nil end
  return {
    id = id, state = r[1], claim = tonumber(r[2]) or 0, ticket = tonumber(r[3]) or 0, attempt = tonumber(r[4]) or 0, seq = tonumber(r[5]) or 0,
    handle = r[6], started_at = tonumber(r[7]), deadline_at = tonumber(r[8]), brief = r[9], last = r[10], route = r[11], rv = tonumber(r[12]) or 1, batch = r[13], asking = r[14], created_at = tonumber(r[15]), bytes = tonumber(r[16]) or 0, changes = {}
  }
end
local function set(t, field, value)
  t[field] = value
  t.changes[#t.changes + 1] = field
  t.changes[#t.changes + 1] = type(value) == 'number' and int(value) or value
end
-- \`seq\` and \`last\` once, however many events were appended: unpack has a limit, and an error here would come after the log was written
local function save(t)
  if t.appended then set(t, 'seq', t.seq); set(t, 'last', t.last); set(t, 'log_bytes', t.bytes) end
  if #t.changes > 0 then redis.call('HSET', taskKey(t.id), unpack(t.changes)) end
end
-- the immutable part, decoded once
local function brief(t) t.decoded = t.decoded or cjson.decode(t.brief); return t.decoded end
${LINE}
local function record(id) return redis.call('HGETALL', taskKey(id)) end
local function saved(kind, t) save(t); return { kind, record(t.id) } end
local function append(t, eventType, payload, eventId, at)
  t.seq = t.seq + 1
  local event = '{"v":1,"id":"' .. eventId .. '","task_id":"' .. t.id .. '","seq":' .. int(t.seq) .. ',"at":' .. int(at) .. ',"type":"' .. eventType .. '","payload":' .. payload .. '}'
  redis.call('RPUSH', P .. 'log:' .. t.id, event)
  t.bytes = (t.bytes or 0) + #event
  redis.call('XADD', P .. 'fleet', 'MAXLEN', '~', 1000000, '*', 't', t.id, 's', int(t.seq), 'y', eventType)
  t.last = eventId
  t.appended = true
  ring(t.id, int(t.seq))
end
${INDEX}
local function move(t, to)
  if not string.find(ALLOWED, ' ' .. t.state .. '>' .. to .. ' ', 1, true) then return false end
  if t.state ~= to then
    redis.call('HINCRBY', P .. 'counts', t.state, -1)
    redis.call('HINCRBY', P .. 'counts', to, 1)
    reindex(t, t.state, to)
  end
  set(t, 'state', to)
  return true
end
-- the task, if this claim owns it; nil when it is another's or over (G4)
local function owned(id, claim)
  local t = open(id)
  if not t or over(t.state) or t.claim ~= tonumber(claim) then return nil end
  return t
end
local function nextTicket(t, due)
  set(t, 'ticket', t.ticket + 1)
  redis.call('ZADD', P .. 'pending', int(waits(t) and NEVER or due), t.id .. '-' .. int(t.ticket))
end
local function queue(t, reason, at, delay, eventId, by)
  nextTicket(t, at + delay)
  local b = brief(t)
  local payload = '{"reason":"' .. reason .. '","mode":"' .. b.mode .. '","title":' .. cjson.encode(b.title) .. (by and ',"by":' .. by or '') .. '}'
  append(t, 'task.queued', with(payload, delay > 0 and { 'ticket', t.ticket, 'delay_ms', delay } or { 'ticket', t.ticket }), eventId, at)
end
-- whether its agent waits for a person: what a session had asked before it was interrupted stays open, and holds nothing up
local function isAwaited(id) return redis.call('EXISTS', P .. 'waits:' .. id) == 1 end
-- whether an owner, alive or dead, holds it
local function held(t) return t.state == 'running' or t.state == 'input_required' and redis.call('HEXISTS', taskKey(t.id), 'worker') == 1 end
-- time that waits for a person does not count (G9)
local function wait(t, at)
  if t.state == 'input_required' and not t.deadline_at then return end
  move(t, 'input_required')
  set(t, 'waiting_at', at)
  if not t.deadline_at then return end
  set(t, 'remaining_ms', math.max(0, t.deadline_at - at))
  redis.call('HDEL', taskKey(t.id), 'deadline_at')
end
-- it does again as soon as nobody is waited for, however long it takes to bring the agent its answer
local function count(t, at)
  local left = redis.call('HGET', taskKey(t.id), 'remaining_ms')
  if left then set(t, 'deadline_at', at + left) end
  redis.call('HDEL', taskKey(t.id), 'remaining_ms', 'waiting_at')
end
local function awake(t, at, to)
  if t.state ~= 'input_required' then return end
  count(t, at)
  move(t, to)
end
-- what an agent that is gone wanted to know
local function leaveInputs(t)
  if not t.asking then return end
  for _, field in ipairs(redis.call('HKEYS', P .. 'inputs:' .. t.id)) do redis.call('ZREM', P .. 'expiring', t.id .. ' ' .. field) end
  redis.call('DEL', P .. 'inputs:' .. t.id, P .. 'waits:' .. t.id)
  redis.call('HDEL', taskKey(t.id), 'asking', 'answers', 'waiting_at')
end
-- paused time does not count (G9): what is left of the deadline is kept instead of its hour
local function pause(t, asked, at, eventId)
  if not move(t, 'paused') then return false end
  if t.deadline_at then
    set(t, 'remaining_ms', math.max(0, t.deadline_at - at))
    redis.call('HDEL', taskKey(t.id), 'deadline_at')
  end
  redis.call('HDEL', taskKey(t.id), 'pause', 'worker', 'waiting_at')
  redis.call('ZREM', P .. 'pending', t.id .. '-' .. int(t.ticket))
  set(t, 'paused_at', at)
  append(t, 'task.paused', asked, eventId, at)
  return true
end
-- a new attempt; the deadline is set once, by the first (G9)
local function start(t, payload, eventId, at)
  local b = brief(t)
  set(t, 'attempt', t.attempt + 1)
  set(t, 'started_at', at)
  set(t, 'deadline_at', t.deadline_at or (at + b.timeout_ms))
  payload = '{"mode":"' .. b.mode .. '",' .. string.sub(payload, 2)
  append(t, 'task.started', with(payload, { 'attempt', t.attempt, 'claim', t.claim, 'deadline_at', t.deadline_at }), eventId, at)
end
-- a fresh session has heard nothing and asked nothing: what an earlier one was told waits again, before what came later
local function retell(t)
  local told, mail = P .. 'told:' .. t.id, P .. 'mail:' .. t.id
  while redis.call('RPOPLPUSH', told, mail) do end
  leaveInputs(t)
  set(t, 'mail', redis.call('LLEN', mail))
end
-- what never reached the agent is named at its end, and does not wait any longer
local function leaveMail(t, payload)
  local mail = P .. 'mail:' .. t.id
  redis.call('DEL', P .. 'told:' .. t.id)
  local ids = {}
  for _, entry in ipairs(redis.call('LRANGE', mail, 0, -1)) do ids[#ids + 1] = '"' .. string.match(entry, '^%S+') .. '"' end
  if #ids == 0 then return payload end
  redis.call('DEL', mail)
  local list = '[' .. table.concat(ids, ',') .. ']'
  set(t, 'undelivered', list)
  return '{"undelivered":' .. list .. ',' .. string.sub(payload, 2)
end
-- what of an agent's allotment a task had; answers what is left of it. Twice is harmless, and so is a task that an older build let in without counting
local function giveBack(sent, id)
  local bytes = redis.call('HGET', sent, id)
  if not bytes then return tonumber(redis.call('HGET', sent, 'all')) or 0 end
  redis.call('HDEL', sent, id)
  return redis.call('HINCRBY', sent, 'all', int(-bytes))
end
local function leaveAllotted(t, at)
  if not string.find(t.brief, '"workspace":{', 1, true) then return end
  local b = brief(t)
  if b.workspace and b.workspace.files then giveBack(P .. 'sent:' .. b.agent_id, t.id) end
  if b.workspace and b.workspace.name then redis.call('ZADD', P .. 'names:' .. b.agent_id, int(at), b.workspace.name) end
end
-- the one ending (G3): state, time, event, and the debt of cleaning up, together (G9). The task's duration, or nil when the table forbids it
local function finish(t, to, payload, eventId, extra)
  if not move(t, to) then return nil end
  local at = now()
  local duration = at - (t.started_at or at)
  set(t, 'ended_at', at)
  indexEnd(t, at)
  for i = 1, #extra, 2 do
    set(t, extra[i], extra[i + 1])
    -- plain text is safe to look for: in the words of a failure its quotes would be escaped
    if extra[i] == 'failure' and string.find(extra[i + 1], '"code":"poison"', 1, true) then redis.call('ZADD', P .. 'poisoned', int(at), t.id) end
  end
  redis.call('HDEL', taskKey(t.id), 'position', 'cancel', 'pause', 'mail', 'remaining_ms', 'route', 'batch', 'restarted', 'taken_as')
  leaveInputs(t)
  redis.call('SREM', P .. 'live', t.id)
  redis.call('ZREM', P .. 'pending', t.id .. '-' .. int(t.ticket))
  if t.handle then redis.call('ZADD', P .. 'debts', int(at), t.id) end
  -- between two attempts there is no handle: then its output is where its workspace is
  local storage, output = t.handle and cjson.decode(t.handle).storage_id, redis.call('HGET', taskKey(t.id), 'output')
  if output and not storage then
    local parts = cjson.decode(output)
    storage = #parts > 0 and parts[#parts].storage_id
  end
  if storage then redis.call('ZADD', P .. 'keeps', int(at), t.id) end
  append(t, 'task.' .. to, leaveMail(t, with(payload, { 'attempt', t.attempt, 'duration_ms', duration })), eventId, at)
  save(t)
  redis.call('ZADD', P .. 'logs', int(at), t.id)
  redis.call('INCRBY', P .. 'logs:bytes', int(t.bytes))
  local line = lineOf(t)
  if line and storage then redis.call('HSETNX', P .. 'homes', line, storage) end
  leaveAllotted(t, at)
  callNext(t)
  return duration
end
`

/**
 * Ends a task that was never started within its time in the queue, by the clock of the caller's step; whether it did. After the first
 * start there is a deadline, though it may stand still, and waiting counts against that; paused time counts against neither.
 */
export const EXPIRE = `
local function expire(t, at, eventId)
  if t.started_at then return false end
  local ttl = brief(t).queue_ttl_ms
  local r = redis.call('HMGET', taskKey(t.id), 'created_at', 'paused_ms')
  if not ttl or at < r[1] + (r[2] or 0) + ttl then return false end
  return finish(t, 'timeout', '{"limit":"queue_ttl_ms","limit_ms":' .. int(ttl) .. '}', eventId, { 'limit', 'queue_ttl_ms' }) ~= nil
end
`

export interface Script {
  source: string
  sha: string
}

/** Completes a script's body with the prelude. Bodies begin at `ARGV`. */
export function script(body: string): Script {
  return named(PRELUDE + body)
}

/** One that only reads, for what is asked often: the prelude's words are made anew by each call. */
export function readScript(body: string): Script {
  return named(`local P = KEYS[1]\n${body}`)
}

function named(source: string): Script {
  return { source, sha: createHash('sha1').update(source).digest('hex') }
}

const WISH_SECONDS = 7 * 24 * 60 * 60

/**
 * Completes the body of what somebody wishes of a task. Its first argument names the wish, for those who cannot know whether they were
 * heard; '' names none. Wished again within a week it changes nothing and is answered as the first time, whatever happened since.
 */
export function wishScript(body: string): Script {
  return script(`
local wish = table.remove(ARGV, 1)
local wished = wish ~= '' and P .. 'wish:' .. wish
local known = wished and redis.call('GET', wished)
if known then
  local outcome, before = string.match(known, '^(%S+) (%S+)$')
  return { outcome, before, record(ARGV[1]) }
end
local function carryOut()
${body}
end
local answer = carryOut()
if wished and answer[2] then redis.call('SET', wished, answer[1] .. ' ' .. answer[2], 'EX', ${WISH_SECONDS}) end
return answer
`)
}

/** Runs a script by its digest; sends the text when Redis does not know it (first use, or after a restart). */
export async function runScript(redis: Redis, { source, sha }: Script, prefix: string, args: readonly (string | number)[]): Promise<unknown> {
  try {
    return await redis.evalsha(sha, 1, prefix, ...args)
  } catch (error) {
    if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error
    return redis.eval(source, 1, prefix, ...args)
  }
}
