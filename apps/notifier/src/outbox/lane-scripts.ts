import { PRELUDE } from '@longshore/outbox'
import { KEEP_SECONDS } from './drafting-scripts.ts'

const MAX_DEAD = 1_000
/** Of one lane: a receiver that a task named and that refuses everything must not push out what others' were refused. */
const MAX_DEAD_OF_LANE = 100
/** Without a refusal for this long the receiver is taken for unlimited again. */
const FORGET_MS = 10 * 60_000
/** Synapse's default burst: more never adds up. */
const BURST = 10
/**
 * One in five seconds: Synapse's default. The first wait that a refusal names is only the rest of an interval;
 * where the limit is wider, edits come a little later than they could.
 */
const LEAST_INTERVAL_MS = 5_000

/**
 * The bucket mirrors the receiver's own, which is only learned from refusals; no bucket: it never refused.
 * One per account, shared by all notifiers, in Redis time.
 */
const BUCKET = `
local function tokens(account)
  local b = redis.call('HMGET', P .. 'bucket:' .. account, 'interval', 'tokens', 'at')
  if not b[1] then return math.huge, 0 end
  return math.min(${BURST}, tonumber(b[2]) + (now() - tonumber(b[3])) / tonumber(b[1])), tonumber(b[1])
end
local function spend(account)
  local have, interval = tokens(account)
  if interval > 0 then redis.call('HSET', P .. 'bucket:' .. account, 'tokens', tostring(math.max(-1, have - 1)), 'at', string.format('%d', now())) end
end
-- How long until a line that leaves \`reserve\` may send; 0: it may.
local function tokenWait(account, reserve)
  local have, interval = tokens(account)
  if have >= reserve + 1 then return 0 end
  return math.ceil((reserve + 1 - have) * interval)
end`

/**
 * ARGV[1] is the lane, ARGV[2] the fence of its lease, ARGV[3] the account that sends: a notifier that lost the lane can change nothing.
 * `look`: the next entry and its line's reserve; or nil and when there will be one (ms; -1: the lane is empty).
 */
const HELD = `${PRELUDE}${BUCKET}
local lane, account = ARGV[1], ARGV[3]
if redis.call('GET', P .. 'lease:lane:' .. lane) ~= ARGV[2] then return redis.error_reply('LEASELOST another notifier works in this lane') end
local function head(name)
  while true do
    local found = redis.call('ZRANGE', line(name, lane), 0, 0, 'WITHSCORES')
    -- Sent in another lane meanwhile: where it is told has changed.
    if not found[1] or redis.call('HEXISTS', P .. 'outbox', found[1]) == 1 then return found[1], found[2] end
    redis.call('ZREM', line(name, lane), found[1])
  end
end
-- What stands in a thread needs its root: the task's card goes first, with what it is needed for.
local function rootBefore(id)
  local task = string.match(id, '^%a+:(task%-%w+):')
  if not task or redis.call('EXISTS', P .. 'root:' .. task) == 1 then return id end
  local card = 'card:' .. task
  if redis.call('ZSCORE', line('card', lane), card) and redis.call('HEXISTS', P .. 'outbox', card) == 1 then return card end
  return id
end
local function look()
  local due, t = -1, now()
  for _, l in ipairs(LINES) do
    local id, score = head(l.name)
    if id then
      local at = math.max(l.timed and tonumber(score) or t, t + tokenWait(account, l.reserve))
      if at <= t then return rootBefore(id), l.reserve end
      if due < 0 or at < due then due = at end
    end
  end
  return nil, due
end
local function sent() local s = redis.call('HGET', P .. 'sending', lane); return s and cjson.decode(s) end
local function clear(id)
  redis.call('HDEL', P .. 'sending', lane)
  if redis.call('HEXISTS', P .. 'outbox', id) == 0 then redis.call('ZREM', P .. 'ages', id) end
end`

/**
 * A lane that is due and nobody's. ARGV: lease ms. → {lane, fence} | {'', ms until another is due, -1: none}
 * Those that waited longest first, so that none is forgotten over the others.
 */
export const TAKE = `${PRELUDE}
local t = now()
for _, lane in ipairs(redis.call('ZRANGE', P .. 'lanes', '-inf', t, 'BYSCORE', 'LIMIT', 0, 1000)) do
  if redis.call('EXISTS', P .. 'lease:lane:' .. lane) == 0 then
    local fence = redis.call('INCR', P .. 'fence')
    redis.call('SET', P .. 'lease:lane:' .. lane, fence, 'PX', ARGV[1])
    return { lane, fence }
  end
end
local due = redis.call('ZRANGE', P .. 'lanes', '(' .. string.format('%d', t), '+inf', 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')[2]
return { '', due and tonumber(due) - t or -1 }`

/** → {'sending', frozen} | {'candidate', id, entry, receipt of the root or '', its own receipt or ''} | {'idle'} */
export const NEXT = `${HELD}
local s = sent()
if s then
  if tokenWait(account, 0) > 0 then return { 'idle' } end
  spend(account)
  return { 'sending', s.frozen }
end
local id = look()
if not id then return { 'idle' } end
local task = string.match(id, '^%a+:(task%-%w+)')
local root = task and redis.call('GET', P .. 'root:' .. task) or ''
local posted = string.sub(id, 1, 5) == 'card:' and root or redis.call('GET', P .. 'posted:' .. id) or ''
return { 'candidate', id, redis.call('HGET', P .. 'outbox', id), root, posted }`

/** ARGV: lane, fence, account, id, the entry as it was read, frozen. → 0 when a newer one has replaced it, or others took the last token. */
export const FREEZE = `${HELD}
local id = ARGV[4]
if redis.call('HEXISTS', P .. 'sending', lane) == 1 or redis.call('HGET', P .. 'outbox', id) ~= ARGV[5] then return 0 end
if look() ~= id then return 0 end
for _, l in ipairs(LINES) do
  local score = redis.call('ZSCORE', line(l.name, lane), id)
  if score then
    redis.call('HSET', P .. 'sending', lane, cjson.encode({ id = id, notice = ARGV[5], frozen = ARGV[6], line = l.name, score = score }))
    redis.call('ZREM', line(l.name, lane), id)
    redis.call('HDEL', P .. 'outbox', id)
    spend(account)
    return 1
  end
end
return 0`

/**
 * The receiver said for certain that it took nothing: the entry goes back into its line, as the newer one does that was to be its edit, and
 * what is more important may go first. ARGV: lane, fence, account, then for what is not there yet: ms from now.
 */
export const RELEASE = `${HELD}
local s = sent()
if not s then return 0 end
local score = ARGV[4] and string.format('%d', now() + tonumber(ARGV[4])) or s.score
redis.call('HSETNX', P .. 'outbox', s.id, s.notice)
if s.line ~= 'edit' then redis.call('ZREM', line('edit', lane), s.id) end
redis.call('ZADD', line(ARGV[4] and 'later' or s.line, lane), score, s.id)
redis.call('HDEL', P .. 'sending', lane)
return 1`

/** The receiver has it. ARGV: lane, fence, account, receipt or '', where the receipt stands or ''. */
export const STRIKE = `${HELD}
local s = sent()
if not s then return 0 end
if ARGV[5] ~= '' then
  if ARGV[4] ~= '' then redis.call('SET', P .. ARGV[5], ARGV[4]) end
  redis.call('EXPIRE', P .. ARGV[5], ${KEEP_SECONDS})
end
clear(s.id)
redis.call('HDEL', P .. 'faults', lane)
return 1`

/** The receiver will never take it; where a newer version of it waits, that one stands for both. ARGV: lane, fence, account, reason. */
export const BURY = `${HELD}
local s = sent()
if not s then return 0 end
if redis.call('HEXISTS', P .. 'outbox', s.id) == 1 then
  clear(s.id)
  return 0
end
redis.call('HSET', P .. 'dead:letters', s.id, cjson.encode({ at = now(), reason = ARGV[4], lane = lane, line = s.line, notice = s.notice, frozen = s.frozen }))
redis.call('ZADD', P .. 'dead:times', now(), s.id)
redis.call('ZADD', P .. 'dead:lane:' .. lane, now(), s.id)
for _, id in ipairs(redis.call('ZRANGE', P .. 'dead:lane:' .. lane, 0, -${MAX_DEAD_OF_LANE + 1})) do forgetDead(id) end
for _, id in ipairs(redis.call('ZRANGE', P .. 'dead:times', 0, -${MAX_DEAD + 1})) do forgetDead(id) end
clear(s.id)
return 1`

/** The receiver refused because of its rate limit. ARGV: lane, fence, account, the wait that it named (ms). */
export const LIMIT = `${HELD}
local after, bucket = tonumber(ARGV[4]), P .. 'bucket:' .. account
local interval = math.max(tonumber(redis.call('HGET', bucket, 'interval') or '0'), after, ${LEAST_INTERVAL_MS})
redis.call('HSET', bucket, 'interval', interval, 'tokens', tostring(1 - after / interval), 'at', string.format('%d', now()))
redis.call('PEXPIRE', bucket, ${FORGET_MS})
return 1`

/** ARGV: lane, fence, account. → tries in a row that failed, with this one. */
export const FAULT = `${HELD}
return redis.call('HINCRBY', P .. 'faults', lane, 1)`

/** Lets the lane go, to be looked at when something is due, and not for a while if told so. ARGV: lane, fence, account, ms. */
export const LEAVE = `${HELD}
local hold = tonumber(ARGV[4])
if hold > 0 then redis.call('HSET', P .. 'hold', lane, string.format('%d', now() + hold)) else redis.call('HDEL', P .. 'hold', lane) end
redis.call('DEL', P .. 'lease:lane:' .. lane)
redis.call('ZREM', P .. 'lanes', lane)
local id, due = nil, -1
if sent() then due = now() + tokenWait(account, 0) else id, due = look() end
if id then due = now() end
if due >= 0 then lookAt(lane, due) else
  redis.call('HDEL', P .. 'hold', lane)
  redis.call('HDEL', P .. 'faults', lane)
end
return due`

/** ARGV: lease ms, (lane, fence)… → lanes that are another's now. */
export const RENEW = `
local P, lost = KEYS[1], {}
for i = 2, #ARGV, 2 do
  local lease = P .. 'lease:lane:' .. ARGV[i]
  if redis.call('GET', lease) == ARGV[i + 1] then redis.call('PEXPIRE', lease, ARGV[1]) else lost[#lost + 1] = ARGV[i] end
end
return lost`
