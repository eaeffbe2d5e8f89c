import { randomBytes } from 'node:crypto'
import { sharedRedisUrl, waitFor } from '@longshore/testkit'
import type { Redis } from 'ioredis'

import { MODES, SILENT, type Ticket, taskIdFrom, ticketId } from '@longshore/contracts'
import { connectRedis } from '@longshore/runtime'

import { consumeTickets, type ConsumeTicketsOptions, type TicketConsumer } from '../consume-tickets.ts'
import type { Heartbeat, ModeReport } from '../heartbeat.ts'
import { createTicketProducer, type TicketProducer } from '../ticket-producer.ts'

/** A deployment of its own on the tests' Redis, with a producer. */
export interface QueueWorld {
  deployment: string
  redis: Redis
  producer: TicketProducer
  /** A worker whose modes are open. */
  consume(handle: ConsumeTicketsOptions['handle'], more?: Partial<ConsumeTicketsOptions>): TicketConsumer
  stop(): Promise<void>
}

export async function aQueueWorld(): Promise<QueueWorld> {
  const url = sharedRedisUrl()
  const deployment = `t-${randomBytes(6).toString('hex')}`
  const redis = connectRedis(url, 'background', SILENT)
  const producer = createTicketProducer({ redisUrl: url, deployment, log: SILENT })
  await waitFor(() => producer.time(), { what: 'the producer to be connected' })
  const consumers: TicketConsumer[] = []
  return {
    deployment, redis, producer,
    consume: (handle, more = {}) => {
      const consumer = consumeTickets({ redis, deployment, name: `worker-${consumers.length}`, modes: MODES, concurrency: 2, log: SILENT, handle, ...more })
      for (const mode of MODES) consumer.setOpen(mode, true)
      consumers.push(consumer)
      return consumer
    },
    stop: async () => {
      for (const consumer of consumers) await consumer.stop()
      await producer.close()
      redis.disconnect()
    },
  }
}

export const aTicket = (more: Partial<Ticket> = {}): Ticket =>
  ({ v: 1, task_id: taskIdFrom(randomBytes(52)), n: 1, agent_id: 'agent-a', mode: 'docker', title: 'write a poem', min_worker: 1, ...more })

const aReport = (engineId: string | undefined, more: Partial<ModeReport> = {}): ModeReport => ({
  mode: 'docker', ok: true, isolation: 'container', ...(engineId === undefined ? {} : { engine_id: engineId }),
  capabilities: { adopt: true, resume: true, steer: true, pause: true, usage: true, files: true }, ...more,
})

/** What a worker of docker mode on this engine says of itself. */
export const aHeartbeat = (name: string, engineId?: string, { draining = false, ...report }: Partial<ModeReport> & { draining?: boolean } = {}): Heartbeat =>
  ({ v: 1, name, host: 'h', version: '0.1.0', started_at: 0, slots: 3, running: 0, draining, modes: [aReport(engineId, report)] })

/** A handler that works on each ticket until it is told to end it; `endAll`: those that come later, too. */
export function aDesk() {
  const seen: { id: string; end: () => void }[] = []
  const over = Promise.withResolvers<'done'>()
  const handle: ConsumeTicketsOptions['handle'] = (ticket) => {
    const work = Promise.withResolvers<'done'>()
    seen.push({ id: ticketId(ticket), end: () => work.resolve('done') })
    return Promise.race([work.promise, over.promise])
  }
  return { seen, handle, endAll: () => over.resolve('done') }
}
