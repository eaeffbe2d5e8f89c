import { type AuditEntry, keysOf, MAX_AUDIT_ENTRIES } from '@longshore/ledger'
import type { Redis } from 'ioredis'

/** Handled events that are remembered beyond the position: a window that is read again may begin a little earlier. */
const REMEMBERED = 10_000

/**
 * KEYS: the prefix of what is read, the audit's list. ARGV[1]: the lease's fence: who lost the lease changes nothing.
 * lease:listen STRING, fence COUNTER, since:<bot> STRING, handled ZSET of event ids by time.
 */
const PRELUDE = `
local P = KEYS[1]
if redis.call('GET', P .. 'lease:listen') ~= ARGV[1] then return redis.error_reply('LEASELOST another notifier listens') end
local t = redis.call('TIME')
local now = string.format('%d', t[1] * 1000 + math.floor(t[2] / 1000))
`

/** ARGV: fence, event id, entry without its time or ''. */
const HANDLED = `${PRELUDE}
if redis.call('ZADD', P .. 'handled', 'NX', now, ARGV[2]) == 0 or ARGV[3] == '' then return end
redis.call('LPUSH', KEYS[2], '{"at":' .. now .. ',' .. string.sub(ARGV[3], 2))
redis.call('LTRIM', KEYS[2], 0, ${MAX_AUDIT_ENTRIES - 1})`

/** ARGV: fence, bot, position, then the events of the window that was read. */
const ADVANCE = `${PRELUDE}
for i = 4, #ARGV do redis.call('ZADD', P .. 'handled', 'NX', now, ARGV[i]) end
redis.call('ZREMRANGEBYRANK', P .. 'handled', 0, ${-1 - REMEMBERED})
redis.call('SET', P .. 'since:' .. ARGV[2], ARGV[3])`

/** How far the bot has read, and what it has dealt with; each change is one step, and throws when another has the lease. */
export interface Inbox {
  /** Undefined: it never listened. */
  since(): Promise<string | undefined>
  /** Which of these were dealt with. */
  handled(eventIds: readonly string[]): Promise<ReadonlySet<string>>
  /** This one is dealt with; what is to be audited is written down in the same step, once. */
  settle(eventId: string, entry: Omit<AuditEntry, 'at'> | undefined): Promise<void>
  /** All up to there are dealt with, these among them. */
  advance(position: string, eventIds: readonly string[]): Promise<void>
}

/** Under which its lease stands, too. */
export const inboxPrefix = (deployment: string): string => `${keysOf(deployment).prefix}inbound:`

/** @param fence from the lease under `inboxPrefix` */
export function createInbox(redis: Redis, deployment: string, botId: string, fence: number): Inbox {
  const prefix = inboxPrefix(deployment)
  const run = (script: string, ...args: readonly string[]) => redis.eval(script, 2, prefix, keysOf(deployment).audit, String(fence), ...args)
  return {
    since: async () => (await redis.get(`${prefix}since:${botId}`)) ?? undefined,
    async handled(eventIds) {
      if (eventIds.length === 0) return new Set()
      const scores = await redis.zmscore(`${prefix}handled`, ...eventIds)
      return new Set(eventIds.filter((_, i) => scores[i] !== null))
    },
    settle: async (eventId, entry) => void (await run(HANDLED, eventId, entry === undefined ? '' : JSON.stringify(entry))),
    advance: async (position, eventIds) => void (await run(ADVANCE, botId, position, ...eventIds)),
  }
}
