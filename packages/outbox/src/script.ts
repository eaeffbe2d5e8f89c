import type { Redis } from 'ioredis'

/**
 * Where what is still to be told to one sink stands in Redis, below a prefix P of its own:
 * outbox HASH id → what is to be told; line:<line>:<lane> ZSET of ids, by order or by due time; n COUNTER of that order;
 * lanes ZSET lane → when to look at it (ms); hold HASH lane → not before (ms); faults HASH lane → tries in a row that failed;
 * sending HASH lane → the one frozen entry that may be on its way; ages ZSET id → since when it waits;
 * dead:letters HASH, dead:times ZSET, dead:lane:<lane> ZSET of those of one lane; bucket:<account> HASH with a TTL: the receiver's rate limit as far as it is known;
 * cursor, born, view:<task>, root:<task>, posted:<id>, said:<id> STRING; lease:<what> STRING with a TTL; fence COUNTER.
 */
export function outboxPrefix(deployment: string, sink: string): string {
  return `{ls:${deployment}}:notify:${sink}:`
}

const sinksKey = (deployment: string): string => `{ls:${deployment}}:notify:sinks`

/** So that whoever looks at a deployment's outboxes knows of this one. */
export async function noteSink(redis: Redis, deployment: string, sink: string): Promise<void> {
  await redis.sadd(sinksKey(deployment), sink)
}

export async function notedSinks(redis: Redis, deployment: string): Promise<string[]> {
  return (await redis.smembers(sinksKey(deployment))).toSorted()
}

/**
 * The lines of a lane, most important first. `reserve`: what a line leaves in a receiver's rate limit for those before it:
 * an ending and a question always find two tokens, and ten tasks may end at once while their cards are edited for hours.
 * `isTimed`: its order is a due time.
 */
export const LINES = [
  { name: 'top', reserve: 0, isTimed: false },
  { name: 'reply', reserve: 2, isTimed: false },
  { name: 'card', reserve: 2, isTimed: false },
  { name: 'detail', reserve: 4, isTimed: false },
  { name: 'later', reserve: 4, isTimed: true },
  { name: 'edit', reserve: 8, isTimed: true },
] as const
export type LineName = (typeof LINES)[number]['name']

/** Beginning of every script; KEYS[1] is the prefix. */
export const PRELUDE = `
local P = KEYS[1]
local LINES = { ${LINES.map(({ name, reserve, isTimed }) => `{ name = '${name}', reserve = ${reserve}, timed = ${isTimed} }`).join(', ')} }
local function now() local t = redis.call('TIME'); return t[1] * 1000 + math.floor(t[2] / 1000) end
local function line(name, lane) return P .. 'line:' .. name .. ':' .. lane end
local function lookAt(lane, at)
  local hold = tonumber(redis.call('HGET', P .. 'hold', lane) or '0')
  local known = tonumber(redis.call('ZSCORE', P .. 'lanes', lane) or '')
  if not known or at < known then redis.call('ZADD', P .. 'lanes', string.format('%d', math.max(at, hold)), lane) end
end
local function enqueue(name, lane, id)
  local at = line(name, lane)
  if not redis.call('ZSCORE', at, id) then redis.call('ZADD', at, redis.call('INCR', P .. 'n'), id) end
  lookAt(lane, now())
end
local function forgetDead(id)
  local found = redis.call('HGET', P .. 'dead:letters', id)
  if not found then return end
  redis.call('ZREM', P .. 'dead:lane:' .. cjson.decode(found).lane, id)
  redis.call('HDEL', P .. 'dead:letters', id)
  redis.call('ZREM', P .. 'dead:times', id)
end
local function ring() redis.call('PUBLISH', string.gsub(P, 'notify:(.-):$', 'bell:notices:%1'), '1') end
`
