import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { NewTask, SILENT, taskIdFrom } from '@longshore/contracts'
import { createLedger } from '@longshore/ledger'
import { createTicketProducer } from '@longshore/queue'
import { startRedis, waitFor } from '@longshore/testkit'
import { Redis } from 'ioredis'
import { median, type Result } from './figures.ts'
import { startGateway } from './gateway-process.ts'
import { inParallel } from './in-parallel.ts'
import { rssMb } from './process-figures.ts'
import { PROMPT, TICKET_DATA } from './ticket-data.ts'
import { startWorkerProcess, type WorkerProcess } from './worker-process.ts'

const BATCH = 500
const SAMPLE_EVERY_MS = 2_000

/**
 * Resident memory of an idle gateway and an idle worker with an empty queue, with one that became long meanwhile, and
 * with one that was long when they started; and what a queued task costs Redis.
 * The tasks are of a mode that the worker does not serve, so they stay queued while its reconciler and heartbeat go their rounds.
 * @param rounds samples of each figure, `SAMPLE_EVERY_MS` apart
 * @param count tasks in the queue
 */
export async function benchMemory(rounds: number, count: number): Promise<Result> {
  const home = await mkdtemp(join(tmpdir(), 'longshore-bench-'))
  const redis = await startRedis({ aof: 'everysec' })
  const asked = new Redis(redis.url)
  const started: { stop(): Promise<void> }[] = []
  const startPair = async () => {
    const env = { NODE_COMPILE_CACHE: join(home, 'cache') }
    const gateway = await startGateway(redis.url, 'bench', env)
    started.push(gateway)
    const worker = await startIdleWorker(redis.url, home, env)
    started.push(worker)
    return { gateway, worker }
  }
  const stopAll = () => Promise.all(started.splice(0).map((one) => one.stop()))
  try {
    // As under `npm start` from the second time on: compiled code comes from the cache, and Node's type stripper is not loaded.
    await startPair()
    await stopAll()
    const pair = await startPair()
    const idle = await sample(pair, rounds)
    const before = await usedMemory(asked)
    await queueTasks(redis.url, asked, count)
    const bytes = ((await usedMemory(asked)) - before) / count
    const grown = await sample(pair, rounds)
    await stopAll()
    const long = await sample(await startPair(), rounds)
    const row = (what: string, value: number) => ({ what, value, unit: 'MB', aim: '< 150' })
    return {
      name: `memory: ${count.toLocaleString('en')} queued tasks with a prompt of ${Buffer.byteLength(PROMPT)} bytes`,
      rounds,
      rows: [
        row('idle gateway', idle.gateway), row('idle worker', idle.worker),
        row('gateway, after the queue became long', grown.gateway), row('worker, after the queue became long', grown.worker),
        row('gateway, started on the long queue', long.gateway), row('worker, started on the long queue', long.worker),
        { what: 'Redis per queued task', value: bytes, unit: 'bytes', aim: '≤ 3,072' },
      ],
    }
  } finally {
    asked.disconnect()
    await stopAll()
    await redis.stop()
    await rm(home, { recursive: true, force: true })
  }
}

interface Pair { gateway: Awaited<ReturnType<typeof startGateway>>; worker: WorkerProcess }

async function sample({ gateway, worker }: Pair, rounds: number): Promise<{ gateway: number; worker: number }> {
  const samples: { gateway: number; worker: number }[] = []
  for (let round = 0; round < rounds; round++) {
    await sleep(SAMPLE_EVERY_MS)
    await gateway.call('health', {})
    samples.push({ gateway: await rssMb(gateway.pid), worker: await rssMb(worker.pid) })
  }
  return { gateway: median(samples.map((one) => one.gateway)), worker: median(samples.map((one) => one.worker)) }
}

async function queueTasks(redisUrl: string, redis: Redis, count: number): Promise<void> {
  const ledger = createLedger({ redis, deployment: 'bench', log: SILENT })
  const producer = createTicketProducer({ redisUrl, deployment: 'bench', log: SILENT })
  try {
    await waitFor(() => producer.time(), { what: 'the producer to be connected' })
    for (let done = 0; done < count; done += BATCH) {
      const tickets = await submitBatch(ledger, Math.min(BATCH, count - done))
      await producer.addMany(tickets.map((ticket) => ({ ticket })))
      await Promise.all(tickets.map((ticket) => ledger.ticketAdded(ticket)))
    }
  } finally {
    await producer.close()
  }
}

async function submitBatch(ledger: ReturnType<typeof createLedger>, count: number) {
  const tickets: NonNullable<Awaited<ReturnType<typeof ledger.submit>>['ticket']>[] = []
  await inParallel(count, BATCH, async () => {
    const { ticket } = await ledger.submit(NewTask.parse({ id: taskIdFrom(randomBytes(52)), agent_id: TICKET_DATA.agent_id, prompt: PROMPT, title: TICKET_DATA.title, mode: 'docker' }))
    if (ticket !== undefined) tickets.push(ticket)
  })
  return tickets
}

async function usedMemory(redis: Redis): Promise<number> {
  return Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1])
}

function startIdleWorker(redisUrl: string, home: string, env: Readonly<Record<string, string>>): Promise<WorkerProcess> {
  return startWorkerProcess({ HOME: home, LONGSHORE_HOME: home, REDIS_URL: redisUrl, WORKER_MODES: 'opencode', ...env })
}
