import { createHash } from 'node:crypto'
import type { Redis } from 'ioredis'

import { MAX_EVENTS_PER_TASK, TRANSITIONS } from '@longshore/contracts'

/**
 * What every script begins with. KEYS[1] is the deployment's prefix.
 * `append` is the only writer of events: log, fleet stream and doorbell in one step (G5).
 * `move` is the only writer of `state`: it asks the state table of contracts, which is rendered into the script.
 */
const PRELUDE = `
local P = KEYS[1]
local TABLE = cjson.decode([==[${JSON.stringify(TRANSITIONS)}]==])
local function now() local t = redis.call('TIME'); return t[1] * 1000 + math.floor(t[2] / 1000) end
local function int(n) return string.format('%.0f', n) end
local function taskKey(id) return P .. 'task:' .. id end
local function over(state) return #TABLE[state] == 0 end
local function ring(id, what) redis.call('PUBLISH', P .. 'bell:' .. id, what); redis.call('PUBLISH', P .. 'bell:fleet', id) end
-- adds number fields to a JSON object that came as text: payloads are never decoded here, so nothing is rounded or reordered
local function with(json, fields)
  local parts = {}
  for i = 1, #fields, 2 do parts[#parts + 1] = '"' .. fields[i] .. '":' .. int(fields[i + 1]) end
  local body = string.sub(json, 2, -2)
  if body ~= '' then parts[#parts + 1] = body end
  return '{' .. table.concat(parts, ',') .. '}'
end
local function append(id, eventType, payload, eventId, at)
  local seq = redis.call('HINCRBY', taskKey(id), 'seq', 1)
  redis.call('HSET', taskKey(id), 'last', eventId)
  redis.call('RPUSH', P .. 'log:' .. id, '{"v":1,"id":"' .. eventId .. '","task_id":"' .. id .. '","seq":' .. int(seq) .. ',"at":' .. int(at) .. ',"type":"' .. eventType .. '","payload":' .. payload .. '}')
  redis.call('XADD', P .. 'fleet', 'MAXLEN', '~', 1000000, '*', 't', id, 's', int(seq), 'y', eventType)
  ring(id, int(seq))
  return seq
end
local function full(id) return redis.call('LLEN', P .. 'log:' .. id) >= ${MAX_EVENTS_PER_TASK} end
local function move(id, from, to)
  local allowed = false
  for _, state in ipairs(TABLE[from]) do if state == to then allowed = true end end
  if not allowed then return false end
  redis.call('HSET', taskKey(id), 'state', to)
  if from ~= to then
    redis.call('HINCRBY', P .. 'counts', from, -1)
    redis.call('HINCRBY', P .. 'counts', to, 1)
  end
  return true
end
-- state and claim of a task that this claim owns; nil when it is another's or over (G4)
local function owned(id, claim)
  local r = redis.call('HMGET', taskKey(id), 'state', 'claim')
  if not r[1] or over(r[1]) or (r[2] or '0') ~= claim then return nil end
  return r[1]
end
local function nextTicket(id, due)
  local n = redis.call('HINCRBY', taskKey(id), 'ticket', 1)
  redis.call('ZADD', P .. 'pending', int(due), id .. '-' .. int(n))
  return n
end
local function brief(id) return cjson.decode(redis.call('HGET', taskKey(id), 'brief')) end
local function queue(id, reason, at, delay, eventId)
  local n = nextTicket(id, at + delay)
  local b = brief(id)
  local payload = '{"reason":"' .. reason .. '","mode":"' .. b.mode .. '","title":' .. cjson.encode(b.title) .. '}'
  append(id, 'task.queued', with(payload, delay > 0 and { 'ticket', n, 'delay_ms', delay } or { 'ticket', n }), eventId, at)
end
-- a new attempt; the deadline is set once, by the first (G9)
local function start(id, claim, payload, eventId, at)
  local k = taskKey(id)
  local b = brief(id)
  local attempt = redis.call('HINCRBY', k, 'attempt', 1)
  local deadline = tonumber(redis.call('HGET', k, 'deadline_at') or '') or (at + b.timeout_ms)
  redis.call('HSET', k, 'started_at', int(at), 'deadline_at', int(deadline))
  payload = '{"mode":"' .. b.mode .. '",' .. string.sub(payload, 2)
  append(id, 'task.started', with(payload, { 'attempt', attempt, 'claim', claim, 'deadline_at', deadline }), eventId, at)
end
local function record(id) return redis.call('HGETALL', taskKey(id)) end
-- the one ending (G3): state, time, event, and the debt of cleaning up, together (G9)
local function finish(id, from, to, payload, eventId, extra)
  if not move(id, from, to) then return false end
  local at = now()
  local k = taskKey(id)
  local r = redis.call('HMGET', k, 'started_at', 'attempt', 'handle', 'ticket', 'created_at')
  local since = r[1] or at
  redis.call('HSET', k, 'ended_at', int(at))
  if #extra > 0 then redis.call('HSET', k, unpack(extra)) end
  redis.call('HDEL', k, 'position', 'cancel')
  redis.call('SREM', P .. 'live', id)
  redis.call('ZREM', P .. 'pending', id .. '-' .. r[4])
  if r[3] then redis.call('ZADD', P .. 'debts', int(at), id) end
  append(id, 'task.' .. to, with(payload, { 'attempt', tonumber(r[2] or '0'), 'duration_ms', at - since }), eventId, at)
  return true
end
`

export interface Script {
  source: string
  sha: string
}

/** Completes a script's body with the prelude. Bodies begin at `ARGV`. */
export function script(body: string): Script {
  const source = PRELUDE + body
  return { source, sha: createHash('sha1').update(source).digest('hex') }
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
