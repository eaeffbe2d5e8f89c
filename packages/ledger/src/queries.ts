import { type AnyEvent, type Cursor, type Log, Mail, parseEvent, type Task, TASK_STATES, TaskId } from '@longshore/contracts'
import { ZodError } from 'zod'

import type { LedgerContext } from './create-ledger.ts'
import type { Ledger, Page } from './ledger.ts'
import { fieldsOf, SUMMARY_FIELDS, summaryFrom, taskFrom, TICKET_FIELDS, waitingFrom } from './record.ts'
import { READ } from './scripts.ts'

/** Everything that only reads. */
export function queries({ redis, keys, log, run }: LedgerContext): Pick<Ledger, 'get' | 'list' | 'counts' | 'read' | 'readFleet' | 'fleetGap' | 'liveTickets' | 'pendingTickets' | 'mail' | 'debts' | 'poisoned' | 'isPoisoned'> {
  const summary = async (taskId: TaskId) => summaryFrom(await redis.hmget(keys.task(taskId), ...SUMMARY_FIELDS))
  const latest = async (index: string, limit: number, offset: number) => {
    const ids = await redis.zrevrange(index, offset, offset + limit - 1)
    const tasks = await Promise.all(ids.map((id) => summary(TaskId.parse(id)).catch(unreadable(log, id))))
    return tasks.filter((task) => task !== undefined)
  }
  return {
    async get(taskId) {
      const fields = fieldsOf(await redis.hgetall(keys.task(taskId)))
      return fields === undefined ? undefined : taskFrom(fields)
    },
    list: ({ agentId, limit, offset = 0 }) => latest(agentId === undefined ? keys.tasks : keys.agent(agentId), limit, offset),
    poisoned: (limit, offset = 0) => latest(keys.poisoned, limit, offset),
    isPoisoned: async (taskId) => (await redis.zscore(keys.poisoned, taskId)) !== null,
    async counts() {
      const fields = fieldsOf(await redis.hgetall(keys.counts)) ?? {}
      return Object.fromEntries(TASK_STATES.map((state) => [state, Number(fields[state] ?? 0)])) as Record<Task['state'], number>
    },
    async read(taskId, after, limit) {
      const answer = (await run(READ, taskId, after.seq, limit)) as [] | [number, number, string[]]
      return answer.length === 0 ? undefined : pageOf(after, ...answer)
    },
    async readFleet(after, limit) {
      const entries = await redis.xrange(keys.fleet, after === '0' ? '-' : `(${after}`, '+', 'COUNT', limit)
      return entries.map(([position, fields]) => {
        const { t, s, y } = fieldsOf(fields) ?? {}
        return { position, taskId: TaskId.parse(t), seq: Number(s), type: y ?? '' }
      })
    },
    async fleetGap(after) {
      const stream = fieldsOf(await redis.xinfo('STREAM', keys.fleet).catch(ifNoStream))
      if (stream === undefined) return after === '0' ? undefined : '0'
      const { length, 'entries-added': added, 'last-generated-id': newest = '0' } = stream
      if (after === '0') return length === added ? undefined : newest
      return after === newest || (await redis.xrange(keys.fleet, after, after)).length > 0 ? undefined : newest
    },
    liveTickets: (after, limit) => liveTickets({ redis, keys }, after, limit),
    async pendingTickets(limit) {
      const members = pairsOf(await redis.zrange(keys.pending, 0, String(limit - 1), 'WITHSCORES'))
      const rows = await redis.pipeline(members.map(([member]) => ['hmget', keys.task(splitTicketId(member).id), ...TICKET_FIELDS])).exec()
      // Tickets of records that somebody deleted: left where they are they would stand before all others for ever.
      const isGone = (row: [Error | null, unknown] | undefined) => row?.[0] === null && (row[1] as (string | null)[])[0] === null
      const orphans = members.filter((_, i) => isGone(rows?.[i])).map(([member]) => member)
      if (orphans.length > 0) await redis.zrem(keys.pending, ...orphans)
      return members.flatMap(([member, due_at], i) => {
        const { id, n } = splitTicketId(member)
        const found = waitingFrom(id, n, (rows?.[i]?.[1] ?? []) as (string | null)[])
        return found === undefined ? [] : [{ ticket: found.ticket, due_at }]
      })
    },
    async mail(taskId) {
      const waiting = await redis.lrange(keys.mail(taskId), 0, -1)
      return waiting.map((entry) => Mail.parse(JSON.parse(entry.slice(entry.indexOf(' ') + 1))))
    },
    async debts(limit) {
      return (await redis.zrange(keys.debts, 0, String(limit - 1))).map((id) => TaskId.parse(id))
    },
  }
}

async function liveTickets({ redis, keys }: Pick<LedgerContext, 'redis' | 'keys'>, after: string | undefined, limit: number): ReturnType<Ledger['liveTickets']> {
  const [next, ids] = await redis.sscan(keys.live, after ?? '0', 'COUNT', limit)
  const [time, ...rows] = (await redis.pipeline([['time'], ...ids.map((id) => ['hmget', keys.task(TaskId.parse(id)), 'ticket', 'state', 'deadline_at', 'created_at', 'paused_ms', 'paused_at', 'worker', ...TICKET_FIELDS])]).exec()) ?? []
  const now = Number((time?.[1] as string[] | undefined)?.[0] ?? 0) * 1_000
  const found = ids.flatMap((id, i) => {
    const [n, state, deadline, createdAt, pausedMs, pausedAt, worker, ...parts] = (rows[i]?.[1] ?? []) as (string | null)[]
    const waiting = waitingFrom(TaskId.parse(id), Number(n), parts)
    if (waiting === undefined) return []
    const { ticket, queueTtlMs, pausedTtlMs } = waiting
    const [bound, endsAt] = state === 'paused' ? ['paused_ttl_ms' as const, Number(pausedAt) + pausedTtlMs]
      : typeof deadline === 'string' ? ['timeout_ms' as const, Number(deadline)] : ['queue_ttl_ms' as const, Number(createdAt) + Number(pausedMs) + queueTtlMs]
    // Who waits for a person has a ticket as long as an owner holds it, alive or dead.
    const isTicketed = state === 'queued' || state === 'running' || (state === 'input_required' && typeof worker === 'string')
    return [{ tickets: isTicketed ? [ticket] : [], overdue: endsAt <= now ? [Object.assign({ limit: bound }, ticket)] : [] }]
  })
  const tickets = found.flatMap((waiting) => waiting.tickets)
  const overdue = found.flatMap((waiting) => waiting.overdue)
  return next === '0' ? { tickets, overdue } : { tickets, overdue, next }
}

/** G6: what comes after the cursor, or the honest answer that the cursor fits no longer. The first element read is the cursor's own event, if that is kept. */
function pageOf(after: Cursor, total: number, base: number, raw: readonly string[]): Page {
  const read = raw.map((text) => parseEvent(JSON.parse(text)))
  if (!fits(after, base, read[0])) return { kind: 'cursor_reset', earliest: { seq: base, id: '' }, total }
  const events = read.filter(({ seq }) => seq > after.seq)
  const last = events.at(-1)
  return { kind: 'events', events, cursor: last === undefined ? after : { seq: last.seq, id: last.id }, total }
}

/** The start is the earliest event that is kept. A cursor without an id is a plain offset: nobody can tell whether it is of this history, and nobody asked. */
function fits(after: Cursor, base: number, own: AnyEvent | undefined): boolean {
  if (after.seq === 0) return true
  if (after.id === '') return after.seq >= base
  return after.seq > base && own?.seq === after.seq && own.id === after.id
}

/** One broken record must not hide all others. */
const unreadable = (log: Log, id: string) => (error: unknown): undefined => {
  if (!(error instanceof ZodError) && !(error instanceof SyntaxError)) throw error
  log.error({ task_id: id, reason: error.message }, 'a record could not be read; lists leave it out')
}

function ifNoStream(error: unknown): undefined {
  if (error instanceof Error && error.message.includes('no such key')) return undefined
  throw error
}

function splitTicketId(member: string): { id: TaskId; n: number } {
  const dash = member.lastIndexOf('-')
  return { id: TaskId.parse(member.slice(0, dash)), n: Number(member.slice(dash + 1)) }
}

/** WITHSCORES answers a flat list in RESP2 and pairs in RESP3. */
function pairsOf(found: readonly unknown[]): [string, number][] {
  const flat = found.flat()
  return Array.from({ length: flat.length / 2 }, (_, i) => [String(flat[2 * i]), Number(flat[2 * i + 1])])
}
