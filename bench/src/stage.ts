import { randomBytes } from 'node:crypto'

import { DeploymentId, NewTask, SILENT, taskIdFrom, type Ticket } from '@longshore/contracts'
import { createTicketDispatch } from '@longshore/gateway'
import { createLedger, keysOf, type Ledger } from '@longshore/ledger'
import { createTicketProducer, type TicketProducer } from '@longshore/queue'
import { connectRedis } from '@longshore/runtime'
import { startRedis } from '@longshore/testkit'
import { Queue } from 'bullmq'
import { Redis } from 'ioredis'

import { type Child, startChild } from './child.ts'
import { PROMPT, TICKET_DATA } from './ticket-data.ts'

/** One Redis with AOF `always`; our worker and BullMQ's own beside each other, each in its process, with what feeds them here. */
export interface Stage {
  ours: Child
  bare: Child
  /** Accepts a task. */
  submit(): Promise<Ticket>
  /** Queues its ticket as the gateway does: beside the answer, what comes meanwhile together. */
  dispatch(ticket: Ticket): void
  /** Queues its ticket and waits for that. */
  add(ticket: Ticket): Promise<void>
  addBare(): Promise<unknown>
  completed(): Promise<number>
  /** Of the Redis process, in ms since its start. */
  redisCpuMs(): Promise<number>
}

const deployment = DeploymentId.parse('bench')

/** Runs `measure` on a stage whose workers have `concurrency` slots each, and takes the stage down. */
export async function onStage<T>(concurrency: number, measure: (stage: Stage) => Promise<T>): Promise<T> {
  const server = await startRedis({ aof: 'always' })
  const env = { BENCH_REDIS_URL: server.url, BENCH_CONCURRENCY: String(concurrency) }
  const [ours, bare] = await Promise.all([startChild('scripted-worker.ts', env), startChild('bare-worker.ts', env)])
  const redis = connectRedis(server.url, 'background', SILENT)
  const producer = createTicketProducer({ redisUrl: server.url, deployment, log: SILENT })
  const plain = new Redis(server.url)
  const queue = new Queue('bare', { connection: plain })
  try {
    await queue.waitUntilReady()
    return await measure(stageOf({ ours, bare, redis, producer, queue }))
  } finally {
    await Promise.allSettled([ours.stop(), bare.stop(), producer.close(), queue.close()])
    redis.disconnect()
    plain.disconnect()
    await server.stop()
  }
}

function stageOf({ ours, bare, redis, producer, queue }: { ours: Child; bare: Child; redis: Redis; producer: TicketProducer; queue: Queue }): Stage {
  const ledger = createLedger({ redis, deployment, log: SILENT })
  const { dispatch } = createTicketDispatch({ producer, ledger, log: SILENT })
  let added = 0
  return {
    ours, bare, dispatch,
    submit: () => submit(ledger),
    add: (ticket) => producer.add(ticket),
    addBare: () => queue.add(TICKET_DATA.title, TICKET_DATA, { jobId: `bare-${added++}` }),
    completed: async () => Number((await redis.hget(keysOf(deployment).counts, 'completed')) ?? 0),
    redisCpuMs: async () => {
      const info = await redis.info('cpu')
      return ['user', 'sys'].reduce((sum, kind) => sum + Number(new RegExp(`used_cpu_${kind}:([\\d.]+)`).exec(info)?.[1]), 0) * 1_000
    },
  }
}

async function submit(ledger: Ledger): Promise<Ticket> {
  const { ticket } = await ledger.submit(NewTask.parse({ id: taskIdFrom(randomBytes(52)), agent_id: TICKET_DATA.agent_id, prompt: PROMPT, title: TICKET_DATA.title, mode: 'docker' }))
  if (ticket === undefined) throw new Error('a fresh task got no ticket')
  return ticket
}
