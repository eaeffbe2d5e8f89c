import { randomBytes } from 'node:crypto'

import { DeploymentId, NewTask, SILENT, taskIdFrom } from '@longshore/contracts'
import { createLedger, keysOf, type Ledger } from '@longshore/ledger'
import { createTicketProducer, type TicketProducer } from '@longshore/queue'
import { connectRedis } from '@longshore/runtime'
import { startRedis, waitFor } from '@longshore/testkit'
import { Queue } from 'bullmq'
import type { Redis } from 'ioredis'

import { type Child, startChild } from './child.ts'
import { median, percentile, type Result } from './figures.ts'
import { inParallel } from './in-parallel.ts'
import { PROMPT, TICKET_DATA } from './ticket-data.ts'

const CONCURRENCY = 50
const deployment = DeploymentId.parse('bench')

interface Stage { redis: Redis; ledger: Ledger; producer: TicketProducer; queue: Queue; ours: Child; bare: Child }

/** One Redis with AOF `always`; beside each other our worker and BullMQ's own, each in its process, each with its adder here. */
async function onStage(concurrency: number, measure: (stage: Stage) => Promise<Result>): Promise<Result> {
  const server = await startRedis({ aof: 'always' })
  const env = { BENCH_REDIS_URL: server.url, BENCH_CONCURRENCY: String(concurrency) }
  const [ours, bare] = await Promise.all([startChild('scripted-worker.ts', env), startChild('bare-worker.ts', env)])
  const redis = connectRedis(server.url, 'background', SILENT)
  const producer = createTicketProducer({ redisUrl: server.url, deployment, log: SILENT })
  const queue = new Queue('bare', { connection: redis })
  try {
    const ledger = createLedger({ redis, deployment, log: SILENT })
    await queue.waitUntilReady()
    return await measure({ redis, ledger, producer, queue, ours, bare })
  } finally {
    await Promise.allSettled([ours.stop(), bare.stop(), producer.close(), queue.close()])
    redis.disconnect()
    await server.stop()
  }
}

let added = 0
const addBare = ({ queue }: Stage) => queue.add(TICKET_DATA.title, TICKET_DATA, { jobId: `bare-${added++}` })

/** What the gateway does with a task, without HTTP. */
async function submit({ ledger, producer }: Stage): Promise<void> {
  const { ticket } = await ledger.submit(NewTask.parse({ id: taskIdFrom(randomBytes(52)), agent_id: 'agent-bench', prompt: PROMPT, title: TICKET_DATA.title, mode: 'docker' }))
  if (ticket === undefined) return
  await producer.add(ticket)
  await ledger.ticketAdded(ticket)
}

/** Tasks per second from the first submit to the last `completed`, and the same for bare jobs. */
export function benchThroughput(rounds: number, count: number): Promise<Result> {
  return onStage(CONCURRENCY, async (stage) => {
    const completed = async () => Number((await stage.redis.hget(keysOf(deployment).counts, 'completed')) ?? 0)
    const ours = () => perSecond(count, async () => {
      const before = await completed()
      await inParallel(count, CONCURRENCY, () => submit(stage))
      await waitFor(async () => (await completed()) - before === count, { timeoutMs: 120_000, everyMs: 5, what: `${count} completed tasks` })
    })
    const bare = () => perSecond(count, async () => {
      stage.bare.tell({ wanted: count })
      const done = stage.bare.heard()
      await inParallel(count, CONCURRENCY, () => addBare(stage))
      await done
    })
    await bare()
    await ours()
    const figures: { bare: number; ours: number }[] = []
    for (let round = 0; round < rounds; round++) figures.push({ bare: await bare(), ours: await ours() })
    return {
      name: `lifecycle: ${count} tasks a round, ${CONCURRENCY} at once`,
      rounds,
      rows: [
        { what: 'bare BullMQ: add → no-op job done', value: median(figures.map((figure) => figure.bare)), unit: '1/s' },
        { what: 'Longshore: submit → scripted backend → completed', value: median(figures.map((figure) => figure.ours)), unit: '1/s' },
        { what: 'Longshore ÷ bare', value: median(figures.map((figure) => figure.ours / figure.bare)), unit: '×', aim: '≥ 0.4' },
      ],
    }
  })
}

async function perSecond(count: number, work: () => Promise<void>): Promise<number> {
  const since = performance.now()
  await work()
  return (count / (performance.now() - since)) * 1_000
}

/** From the call that adds to the first line of the job or the backend, one after another on an idle worker. */
export function benchLatency(rounds: number, count: number): Promise<Result> {
  return onStage(1, async (stage) => {
    for (const child of [stage.ours, stage.bare]) child.tell({ tellsStarts: true })
    const sample = (child: Child, add: () => Promise<unknown>) => series(count, async () => {
      const started = child.heard()
      const since = performance.timeOrigin + performance.now()
      await add()
      return Number(await started) - since
    })
    const bare = () => sample(stage.bare, () => addBare(stage))
    const ours = () => sample(stage.ours, () => submit(stage))
    await bare()
    await ours()
    const figures: { bare: number[]; ours: number[] }[] = []
    for (let round = 0; round < rounds; round++) figures.push({ bare: await bare(), ours: await ours() })
    const of = (pick: 'bare' | 'ours', p: number) => median(figures.map((figure) => percentile(figure[pick], p)))
    const ratio = (p: number) => median(figures.map((figure) => percentile(figure.ours, p) / percentile(figure.bare, p)))
    return {
      name: `latency: add → started, ${count} tasks a round, one at a time`,
      rounds,
      rows: [
        { what: 'bare BullMQ p50', value: of('bare', 50), unit: 'ms' },
        { what: 'bare BullMQ p99', value: of('bare', 99), unit: 'ms' },
        { what: 'Longshore p50', value: of('ours', 50), unit: 'ms' },
        { what: 'Longshore p99', value: of('ours', 99), unit: 'ms' },
        { what: 'Longshore ÷ bare, p50', value: ratio(50), unit: '×', aim: '≤ 1.5' },
        { what: 'Longshore ÷ bare, p99', value: ratio(99), unit: '×', aim: '≤ 1.5' },
      ],
    }
  })
}

async function series(count: number, take: () => Promise<number>): Promise<number[]> {
  const values: number[] = []
  for (let i = 0; i < count; i++) values.push(await take())
  return values
}
