import { Queue } from 'bullmq'

import { type DeploymentId, type Log, LongshoreError, type Mode, MODES, type Ticket } from '@longshore/contracts'
import { connectRedis } from '@longshore/runtime'

import { queueKeys, queueName } from './names.ts'
import { type AddOptions, jobOf } from './ticket-job.ts'

/** BullMQ's event stream is only a hint for us (see lost-tickets.ts), so a short one does. */
const EVENTS_KEPT = 2_000

/** Tickets of one mode, by what becomes of them next. */
export interface QueueCounts { waiting: number; delayed: number; active: number; failed: number }

/** Puts tickets into their mode's queue. Every method fails at once while Redis is away. */
export interface TicketProducer {
  /** Idempotent while the ticket is in the queue. @throws LongshoreError unavailable, overloaded */
  add(ticket: Ticket, options?: AddOptions): Promise<void>
  /** The same for many, in few round trips. */
  addMany(items: readonly (AddOptions & { ticket: Ticket })[]): Promise<void>
  counts(): Promise<Record<Mode, QueueCounts>>
  /** Redis TIME in ms: what `due_at` is measured by. */
  time(): Promise<number>
  close(): Promise<void>
}

export function createTicketProducer(options: { redisUrl: string; deployment: DeploymentId; log: Log }): TicketProducer {
  const redis = connectRedis(options.redisUrl, 'caller', options.log)
  const open = (mode: Mode) => {
    const queue = new Queue<Ticket>(queueName(mode), {
      connection: redis, prefix: queueKeys(options.deployment).prefix, streams: { events: { maxLen: EVENTS_KEPT } },
    })
    queue.on('error', (error) => options.log.debug({ reason: error.message, mode }, 'queue connection'))
    return queue
  }
  const queues = Object.fromEntries(MODES.map((mode) => [mode, open(mode)])) as Record<Mode, Queue<Ticket>>
  const ask = async <T>(call: () => Promise<T>): Promise<T> => {
    // BullMQ waits for the first connection without limit; a caller must not.
    if (redis.status !== 'ready') throw new LongshoreError('unavailable', 'the queue does not answer', { next: 'try again in a moment' })
    try {
      return await call()
    } catch (error) {
      throw refusal(error)
    }
  }
  return {
    add: async (ticket, more) => {
      const { name, data, opts } = jobOf(ticket, more)
      await ask(() => queues[ticket.mode].add(name, data, opts))
    },
    addMany: async (items) => {
      for (const mode of MODES) {
        const jobs = items.filter(({ ticket }) => ticket.mode === mode).map(({ ticket, ...more }) => jobOf(ticket, more))
        if (jobs.length > 0) await ask(() => queues[mode].addBulk(jobs))
      }
    },
    counts: async () => Object.fromEntries(await Promise.all(MODES.map(async (mode) => [mode, await ask(() => countsOf(queues[mode]))]))) as Record<Mode, QueueCounts>,
    time: () => ask(async () => {
      const [seconds, micros] = await redis.time()
      return Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000)
    }),
    close: async () => {
      await Promise.allSettled(Object.values(queues).map((queue) => queue.close()))
      redis.disconnect()
    },
  }
}

async function countsOf(queue: Queue<Ticket>): Promise<QueueCounts> {
  const { waiting = 0, prioritized = 0, delayed = 0, active = 0, failed = 0 } = await queue.getJobCounts('waiting', 'prioritized', 'delayed', 'active', 'failed')
  return { waiting: waiting + prioritized, delayed, active, failed }
}

function refusal(error: unknown): LongshoreError {
  const reason = error instanceof Error ? error.message : String(error)
  if (reason.startsWith('OOM')) return new LongshoreError('overloaded', 'the queue\'s memory is full', { next: 'try again later', cause: error })
  return new LongshoreError('unavailable', `the queue does not answer: ${reason}`, { next: 'try again in a moment', cause: error })
}
