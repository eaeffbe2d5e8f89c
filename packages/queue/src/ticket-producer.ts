import { Queue } from 'bullmq'

import { type DeploymentId, type Log, LongshoreError, type Mode, MODES, type Ticket } from '@longshore/contracts'
import { connectRedis } from '@longshore/runtime'

import { listEngines, memberOf } from './engines.ts'
import { queueKeys, queueName, queueOf } from './names.ts'
import { type AddOptions, jobOf } from './ticket-job.ts'

/** BullMQ's event stream is only a hint for us (see lost-tickets.ts), so a short one does. */
const EVENTS_KEPT = 2_000

/** Tickets of one mode, by what becomes of them next. */
export interface QueueCounts { waiting: number; delayed: number; active: number; failed: number }

/** Puts tickets into their mode's queue, or that of their engine. Every method fails at once while Redis is away. */
export interface TicketProducer {
  /** Idempotent while the ticket is in the queue. @throws LongshoreError unavailable, overloaded */
  add(ticket: Ticket, options?: AddOptions): Promise<void>
  /** The same for many, in few round trips. */
  addMany(items: readonly (AddOptions & { ticket: Ticket })[]): Promise<void>
  /** With those of the mode's engines. */
  counts(): Promise<Record<Mode, QueueCounts>>
  /** Redis TIME in ms: what `due_at` is measured by. */
  time(): Promise<number>
  close(): Promise<void>
}

export function createTicketProducer(options: { redisUrl: string; deployment: DeploymentId; log: Log }): TicketProducer {
  const redis = connectRedis(options.redisUrl, 'caller', options.log)
  const keys = queueKeys(options.deployment)
  const queues = new Map<string, Queue<Ticket>>()
  const open = (name: string) => {
    const known = queues.get(name)
    if (known !== undefined) return known
    const queue = new Queue<Ticket>(name, { connection: redis, prefix: keys.prefix, streams: { events: { maxLen: EVENTS_KEPT } } })
    queue.on('error', (error) => options.log.debug({ reason: error.message, queue: name }, 'queue connection'))
    queues.set(name, queue)
    return queue
  }
  for (const mode of MODES) open(queueName(mode))
  const ask = async <T>(call: () => Promise<T>): Promise<T> => {
    // BullMQ waits for the first connection without limit; a caller must not.
    if (redis.status !== 'ready') throw new LongshoreError('unavailable', 'the queue does not answer', { next: 'try again in a moment' })
    try {
      return await call()
    } catch (error) {
      throw refusal(error)
    }
  }
  const addMany: TicketProducer['addMany'] = async (items) => {
    for (const [name, group] of Map.groupBy(items, ({ ticket }) => queueOf(ticket))) {
      await ask(() => open(name).addBulk(group.map(({ ticket, ...more }) => jobOf(ticket, more))))
    }
    // After the tickets: an engine is forgotten with its queue, and whoever does that knows of those that stand in it.
    const engines = new Set(items.flatMap(({ ticket: { mode, engine_id } }) => (engine_id === undefined ? [] : [memberOf(mode, engine_id)])))
    if (engines.size > 0) await ask(() => redis.zadd(keys.engines, 'NX', ...[...engines].flatMap((member) => [0, member])))
  }
  const counts = async () => {
    const found = Object.fromEntries(MODES.map((mode) => [mode, NONE])) as Record<Mode, QueueCounts>
    const engines = await ask(() => listEngines(redis, options.deployment))
    const parts = [...MODES.map((mode) => ({ mode, queue: queueName(mode) })), ...engines]
    await Promise.all(parts.map(async ({ mode, queue }) => {
      const part = await ask(() => countsOf(open(queue)))
      found[mode] = sum(found[mode], part)
    }))
    return found
  }
  return {
    add: async (ticket, more = {}) => {
      if (ticket.engine_id !== undefined) return addMany([{ ticket, ...more }])
      const { name, data, opts } = jobOf(ticket, more)
      await ask(() => open(queueOf(ticket)).add(name, data, opts))
    },
    addMany,
    counts,
    time: () => ask(async () => {
      const [seconds, micros] = await redis.time()
      return Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000)
    }),
    close: async () => {
      await Promise.allSettled([...queues.values()].map((queue) => queue.close()))
      redis.disconnect()
    },
  }
}

const NONE: QueueCounts = { waiting: 0, delayed: 0, active: 0, failed: 0 }
const sum = (a: QueueCounts, b: QueueCounts): QueueCounts => ({ waiting: a.waiting + b.waiting, delayed: a.delayed + b.delayed, active: a.active + b.active, failed: a.failed + b.failed })

async function countsOf(queue: Queue<Ticket>): Promise<QueueCounts> {
  const { waiting = 0, prioritized = 0, delayed = 0, active = 0, failed = 0 } = await queue.getJobCounts('waiting', 'prioritized', 'delayed', 'active', 'failed')
  return { waiting: waiting + prioritized, delayed, active, failed }
}

function refusal(error: unknown): LongshoreError {
  const reason = error instanceof Error ? error.message : String(error)
  if (reason.startsWith('OOM')) return new LongshoreError('overloaded', 'the queue\'s memory is full', { next: 'try again later', cause: error })
  return new LongshoreError('unavailable', `the queue does not answer: ${reason}`, { next: 'try again in a moment', cause: error })
}
