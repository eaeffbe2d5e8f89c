import { PRELUDE } from '@longshore/outbox'

/** Cards and views of a task are kept this long after its last event. */
export const KEEP_SECONDS = 30 * 24 * 60 * 60
/** From a change to its edit: what else happens within it makes one edit. The end does not wait. */
const EDIT_DELAY_MS = 1_000
/** Whoever answers a command answers it again within this time, or never. */
const SAID_SECONDS = 2 * 24 * 60 * 60

/**
 * G8: notices and cursor in one step. ARGV: the follower's fence, cursor, number of views, (task, view)…, (id, entry, lane, line, key of its receipt or '', urgent)…
 * What was posted (or is on its way) and is told again becomes an edit; the latest wins, in the place in line of the first.
 */
export const PUT = `${PRELUDE}
if redis.call('GET', P .. 'lease:follow') ~= ARGV[1] then return redis.error_reply('LEASELOST another notifier follows the events') end
redis.call('SET', P .. 'cursor', ARGV[2])
local i = 4
for _ = 1, tonumber(ARGV[3]) do
  redis.call('SET', P .. 'view:' .. ARGV[i], ARGV[i + 1], 'EX', ${KEEP_SECONDS})
  i = i + 2
end
local n = 0
while ARGV[i] do
  local id, lane, receipt = ARGV[i], ARGV[i + 2], ARGV[i + 4]
  local sending = redis.call('HGET', P .. 'sending', lane)
  redis.call('HSET', P .. 'outbox', id, ARGV[i + 1])
  redis.call('ZADD', P .. 'ages', 'NX', now(), id)
  -- Of what is told again and again only the newest counts: an old one must not be replayed over it.
  if receipt ~= '' then forgetDead(id) end
  if receipt ~= '' and (redis.call('EXISTS', P .. receipt) == 1 or (sending and cjson.decode(sending).id == id)) then
    local edits = line('edit', lane)
    if ARGV[i + 5] == '1' then redis.call('ZADD', edits, now(), id) else redis.call('ZADD', edits, 'NX', now() + ${EDIT_DELAY_MS}, id) end
    lookAt(lane, tonumber(redis.call('ZSCORE', edits, id)))
  else
    enqueue(ARGV[i + 3], lane, id)
  end
  i, n = i + 6, n + 1
end
if n > 0 then ring() end
return n`

/** ARGV: id, entry, lane, line. → 0: it was said before. */
export const SAY = `${PRELUDE}
if not redis.call('SET', P .. 'said:' .. ARGV[1], '1', 'NX', 'EX', ${SAID_SECONDS}) then return 0 end
redis.call('HSET', P .. 'outbox', ARGV[1], ARGV[2])
redis.call('ZADD', P .. 'ages', 'NX', now(), ARGV[1])
enqueue(ARGV[4], ARGV[3], ARGV[1])
ring()
return 1`
