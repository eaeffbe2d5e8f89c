import type { Redis } from 'ioredis'

import { type Mode, type Ticket, ticketId } from '@longshore/contracts'

import { queueOf, type QueueKeys } from './names.ts'
import { parseTicketId } from './ticket-job.ts'

// A job is alive while its hash exists and it stands in neither end set: waiting, prioritized, delayed or active.
// LPOS on the lists would tell more and cost O(queue) per ticket. Where nobody looks for expired locks, it is alive while it is locked.
const FIND_LOST = `
local lost = {}
local needs_lock = ARGV[1] == '1'
for i = 2, #ARGV, 2 do
  local queue, id = ARGV[i], ARGV[i + 1]
  if redis.call('EXISTS', queue .. id) == 0 or (needs_lock and redis.call('EXISTS', queue .. id .. ':lock') == 0) or redis.call('ZSCORE', queue .. 'completed', id) or redis.call('ZSCORE', queue .. 'failed', id) then
    lost[#lost + 1] = i / 2 - 1
  end
end
return lost
`

/** A queue of a mode: its own or one of its engines'. `isSilent`: no worker speaks for that engine, so nobody would take a ticket from a dead one. */
export interface ModeQueue { mode: Mode; queue: string; isSilent: boolean }

/**
 * Those of the tickets that BullMQ will never give to a worker (again). O(1) per ticket. One that is in work may stand in
 * the queue of an engine, and its task say nothing of that any more: the ledger forgets a route at the take.
 */
export async function findLost(redis: Redis, keys: QueueKeys, tickets: readonly Ticket[], queues: readonly ModeQueue[]): Promise<Ticket[]> {
  let lost = await missingFrom(redis, keys, tickets, { queue: queueOf, needsLock: false })
  for (const { mode, queue, isSilent } of queues) {
    const [here, others] = [lost.filter((ticket) => ticket.mode === mode), lost.filter((ticket) => ticket.mode !== mode)]
    lost = [...others, ...(await missingFrom(redis, keys, here, { queue: () => queue, needsLock: isSilent }))]
  }
  return lost
}

async function missingFrom(redis: Redis, keys: QueueKeys, tickets: readonly Ticket[], where: { queue: (ticket: Ticket) => string; needsLock: boolean }): Promise<Ticket[]> {
  if (tickets.length === 0) return []
  const args = tickets.flatMap((ticket) => [keys.of(where.queue(ticket), ''), ticketId(ticket)])
  const lost = (await redis.eval(FIND_LOST, 1, keys.prefix, where.needsLock ? 1 : 0, ...args)) as number[]
  return lost.map((index) => tickets[index]).filter((ticket) => ticket !== undefined)
}

const READ_GIVEN_UP = `
local from, ids = ARGV[1], {}
local entries = redis.call('XRANGE', KEYS[1], '(' .. from, '+', 'COUNT', 5000)
for _, entry in ipairs(entries) do
  from = entry[1]
  local event, id
  for i = 1, #entry[2], 2 do
    if entry[2][i] == 'event' then event = entry[2][i + 1] elseif entry[2][i] == 'jobId' then id = entry[2][i + 1] end
  end
  if id and (event == 'failed' or event == 'removed') then ids[#ids + 1] = id end
end
return { from, ids }
`

/** `cursors`: by queue. */
export interface GivenUp { ids: Pick<Ticket, 'task_id' | 'n'>[]; cursors: Map<string, string> }

/**
 * Tickets that BullMQ's event streams name as failed or removed since the cursors, filtered inside Redis: a busy queue
 * writes several events per job. A hint that shortens the wait; the rounds of the reconciler find what it misses.
 */
export async function readGivenUp(redis: Redis, keys: QueueKeys, queues: readonly ModeQueue[], since: ReadonlyMap<string, string>): Promise<GivenUp> {
  const cursors = new Map<string, string>()
  const ids: GivenUp['ids'] = []
  for (const { queue } of queues) {
    const stream = keys.of(queue, 'events')
    const from = since.get(queue) ?? (await newest(redis, stream))
    const [cursor, jobs] = (await redis.eval(READ_GIVEN_UP, 1, stream, from)) as [string, string[]]
    cursors.set(queue, cursor)
    ids.push(...jobs.map(parseTicketId).filter((id) => id !== undefined))
  }
  return { ids, cursors }
}

async function newest(redis: Redis, stream: string): Promise<string> {
  const [last] = await redis.xrevrange(stream, '+', '-', 'COUNT', 1)
  return last?.[0] ?? '0-0'
}
