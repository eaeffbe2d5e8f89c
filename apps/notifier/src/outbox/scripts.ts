/**
 * KEYS[1] is the sink's prefix, ARGV[1] the lease's fence: a notifier that lost its lease can change nothing.
 * cursor STRING, lease STRING, fence COUNTER, n COUNTER, outbox HASH id → notice, top ZSET by order, edits ZSET by due time,
 * sending HASH (the one frozen notice), dead LIST, view:<task> and root:<task> STRING with a TTL.
 */
const PRELUDE = `
local P = KEYS[1]
local function now() local t = redis.call('TIME'); return t[1] * 1000 + math.floor(t[2] / 1000) end
if redis.call('GET', P .. 'lease') ~= ARGV[1] then return redis.error_reply('LEASELOST another notifier works for this sink') end
`

/** Cards and views of a task are kept this long after its last event. */
export const KEEP_SECONDS = 30 * 24 * 60 * 60
const MAX_DEAD = 1_000
/** From a change to its edit: what else happens within it makes one edit. The end does not wait. */
const EDIT_DELAY_MS = 1_000

/**
 * G8: notices and cursor in one step. ARGV: fence, cursor, number of views, (task, view)…, (id, notice, kind, task, urgent)…
 * A card whose root stands (or is on its way) becomes an edit; the latest wins, in the place in line of the first.
 */
export const PUT = `${PRELUDE}
redis.call('SET', P .. 'cursor', ARGV[2])
local i = 4
for _ = 1, tonumber(ARGV[3]) do
  redis.call('SET', P .. 'view:' .. ARGV[i], ARGV[i + 1], 'EX', ${KEEP_SECONDS})
  i = i + 2
end
while ARGV[i] do
  local id, kind, task, urgent = ARGV[i], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
  redis.call('HSET', P .. 'outbox', id, ARGV[i + 1])
  if kind == 'card' and (redis.call('EXISTS', P .. 'root:' .. task) == 1 or redis.call('HGET', P .. 'sending', 'id') == id) then
    if urgent == '1' then redis.call('ZADD', P .. 'edits', now(), id)
    else redis.call('ZADD', P .. 'edits', 'NX', now() + ${EDIT_DELAY_MS}, id) end
  elseif not redis.call('ZSCORE', P .. 'top', id) then
    redis.call('ZADD', P .. 'top', redis.call('INCR', P .. 'n'), id)
  end
  i = i + 5
end
return 1`

/** What to send next. ARGV: fence, whether edits may go. → {'sending', frozen} | {'candidate', id, notice, root} | {'idle', ms until the next edit, -1: none} */
export const NEXT = `${PRELUDE}
local frozen = redis.call('HGET', P .. 'sending', 'frozen')
if frozen then return { 'sending', frozen } end
local id = redis.call('ZRANGE', P .. 'top', 0, 0)[1]
if not id and ARGV[2] == '1' then id = redis.call('ZRANGE', P .. 'edits', '-inf', now(), 'BYSCORE', 'LIMIT', 0, 1)[1] end
if id then return { 'candidate', id, redis.call('HGET', P .. 'outbox', id), redis.call('GET', P .. 'root:' .. string.match(id, 'task%-%w+')) or '' } end
local due = redis.call('ZRANGE', P .. 'edits', 0, 0, 'WITHSCORES')[2]
return { 'idle', due and math.max(0, tonumber(due) - now()) or -1 }`

/** ARGV: fence, id, the notice as it was read, frozen. → 0 when a newer one has replaced it meanwhile. */
export const FREEZE = `${PRELUDE}
if redis.call('EXISTS', P .. 'sending') == 1 or redis.call('HGET', P .. 'outbox', ARGV[2]) ~= ARGV[3] then return 0 end
local line = redis.call('ZSCORE', P .. 'top', ARGV[2]) and 'top' or 'edits'
redis.call('HSET', P .. 'sending', 'id', ARGV[2], 'notice', ARGV[3], 'frozen', ARGV[4], 'line', line, 'score', redis.call('ZSCORE', P .. line, ARGV[2]))
redis.call('HDEL', P .. 'outbox', ARGV[2])
redis.call('ZREM', P .. line, ARGV[2])
return 1`

/**
 * The receiver said for certain that it took nothing: an edit goes back into its line, unless a newer one stands there.
 * Anything else keeps its turn and its transaction id.
 */
export const RELEASE = `${PRELUDE}
local s = redis.call('HMGET', P .. 'sending', 'id', 'notice', 'line', 'score')
if s[3] ~= 'edits' then return 0 end
if redis.call('HSETNX', P .. 'outbox', s[1], s[2]) == 1 then redis.call('ZADD', P .. 'edits', s[4], s[1]) end
redis.call('DEL', P .. 'sending')
return 1`

/** The receiver has it. ARGV: fence, receipt of a card's root or ''. */
export const STRIKE = `${PRELUDE}
local task = string.match(redis.call('HGET', P .. 'sending', 'id') or '', 'task%-%w+')
if not task then return 0 end
if ARGV[2] ~= '' then redis.call('SET', P .. 'root:' .. task, ARGV[2]) end
redis.call('EXPIRE', P .. 'root:' .. task, ${KEEP_SECONDS})
redis.call('DEL', P .. 'sending')
return 1`

/** The receiver will never take it. ARGV: fence, reason. */
export const BURY = `${PRELUDE}
local frozen = redis.call('HGET', P .. 'sending', 'frozen')
if not frozen then return 0 end
redis.call('RPUSH', P .. 'dead', cjson.encode({ at = now(), reason = ARGV[2], frozen = frozen }))
redis.call('LTRIM', P .. 'dead', -${MAX_DEAD}, -1)
redis.call('DEL', P .. 'sending')
return 1`
