import { setTimeout as sleep } from 'node:timers/promises'
import { MODES, SILENT, taskIdFrom } from '@longshore/contracts'
import { consumeTickets, createTicketProducer } from '@longshore/queue'
import { connectRedis } from '@longshore/runtime'
import { startRedis, waitFor } from '@longshore/testkit'
import { Queue, Worker } from 'bullmq'
import { randomBytes } from 'node:crypto'
import { Redis } from 'ioredis'

import { median, type Result, type Row } from './figures.ts'
import { TICKET_DATA } from './ticket-data.ts'

interface Locks { lockMs: number; stalledIntervalMs: number }
/** The defaults of LOCK_DURATION_MS and STALLED_INTERVAL_MS, and BullMQ's own. */
const OURS: Locks = { lockMs: 5_000, stalledIntervalMs: 1_000 }
const BULLMQ: Locks = { lockMs: 30_000, stalledIntervalMs: 30_000 }
/** Two rounds of the slowest timer. */
const WINDOW_MS = 60_000
const SETTLE_MS = 3_000

/** A worker on a Redis of its own. `hold` gives it this many jobs that do not end, and resolves when it has them. */
interface Subject { redis: Redis; hold(count: number): Promise<void>; stop(): Promise<void> }
interface Load { commands: number; cpuMs: number; aofBytes: number }

/** What short locks cost Redis: commands (also those inside scripts), CPU and bytes of AOF a second, for a worker that waits and for each ticket in work. */
export async function benchLocks(rounds: number, count: number): Promise<Result> {
  const kinds: Record<string, (url: string) => Promise<Subject>> = {
    'our worker, 5 s / 1 s': (url) => ourWorker(url, OURS, count, false),
    'our worker with engines, 5 s / 1 s': (url) => ourWorker(url, OURS, count, true),
    'our worker, 30 s / 30 s': (url) => ourWorker(url, BULLMQ, count, false),
    'a BullMQ worker, 5 s / 1 s': (url) => bareWorker(url, OURS, count),
    'a BullMQ worker, 30 s / 30 s (its defaults)': (url) => bareWorker(url, BULLMQ, count),
  }
  const measured = await Promise.all(Object.entries(kinds).map(async ([what, make]) => {
    const loads: { idle: Load; each: Load }[] = []
    for (let round = 0; round < rounds; round++) loads.push(await measure(make, count))
    return { what, loads }
  }))
  const row = (what: string, loads: Load[], unit: keyof Load): Row => ({ what, value: median(loads.map((load) => load[unit])), unit: { commands: 'commands/s', cpuMs: 'ms CPU of Redis/s', aofBytes: 'AOF bytes/s' }[unit] })
  return {
    name: `what short locks cost (${count} tickets in work)`, rounds,
    rows: measured.flatMap(({ what, loads }) => (['commands', 'cpuMs', 'aofBytes'] as const).flatMap((unit) => [
      row(`${what}: idle`, loads.map(({ idle }) => idle), unit), row(`${what}: each ticket in work`, loads.map(({ each }) => each), unit),
    ])),
  }
}

async function measure(make: (url: string) => Promise<Subject>, count: number): Promise<{ idle: Load; each: Load }> {
  const server = await startRedis({ aof: 'always' })
  const subject = await make(server.url)
  try {
    const idle = await loadOf(subject.redis)
    await subject.hold(count)
    const busy = await loadOf(subject.redis)
    const each = (unit: keyof Load) => (busy[unit] - idle[unit]) / count
    return { idle, each: { commands: each('commands'), cpuMs: each('cpuMs'), aofBytes: each('aofBytes') } }
  } finally {
    await subject.stop()
    subject.redis.disconnect()
    await server.stop()
  }
}

async function loadOf(redis: Redis): Promise<Load> {
  await sleep(SETTLE_MS)
  const [before, began] = [await totals(redis), performance.now()]
  await sleep(WINDOW_MS)
  const [after, seconds] = [await totals(redis), (performance.now() - began) / 1_000]
  const rate = (unit: keyof Load) => (after[unit] - before[unit]) / seconds
  return { commands: rate('commands'), cpuMs: rate('cpuMs'), aofBytes: rate('aofBytes') }
}

async function totals(redis: Redis): Promise<Load> {
  const [stats, cpu, persistence] = [await redis.info('commandstats'), await redis.info('cpu'), await redis.info('persistence')]
  const sum = (pattern: RegExp, text: string) => [...text.matchAll(pattern)].reduce((total, [, value]) => total + Number(value), 0)
  return {
    commands: sum(/^cmdstat_\S+?:calls=(\d+)/gm, stats), cpuMs: sum(/^used_cpu_(?:user|sys):([\d.]+)/gm, cpu) * 1_000,
    aofBytes: sum(/^aof_current_size:(\d+)/gm, persistence),
  }
}

async function ourWorker(url: string, locks: Locks, count: number, hasEngines: boolean): Promise<Subject> {
  const redis = connectRedis(url, 'background', SILENT)
  const producer = createTicketProducer({ redisUrl: url, deployment: 'bench', log: SILENT })
  const over = Promise.withResolvers<'done'>()
  const consumer = consumeTickets({ redis, deployment: 'bench', name: 'bench', modes: MODES, concurrency: count + 1, log: SILENT, handle: () => over.promise, ...locks })
  for (const mode of MODES) {
    consumer.setOpen(mode, true)
    if (hasEngines) consumer.setEngine(mode, 'an engine')
  }
  await waitFor(() => producer.time(), { what: 'the connection' })
  return {
    redis: new Redis(url),
    hold: async () => {
      await producer.addMany(Array.from({ length: count }, () => ({ ticket: { ...TICKET_DATA, v: 1 as const, mode: 'docker' as const, task_id: taskIdFrom(randomBytes(52)) } })))
      await waitFor(() => consumer.running() === count, { what: 'all tickets to be in work' })
    },
    stop: async () => {
      over.resolve('done')
      await consumer.stop()
      await producer.close()
      redis.disconnect()
    },
  }
}

async function bareWorker(url: string, { lockMs, stalledIntervalMs }: Locks, count: number): Promise<Subject> {
  const redis = new Redis(url, { maxRetriesPerRequest: null })
  const queue = new Queue('bare', { connection: redis })
  const over = Promise.withResolvers<void>()
  const worker = new Worker('bare', () => over.promise, { connection: redis, concurrency: count + 1, lockDuration: lockMs, stalledInterval: stalledIntervalMs })
  await worker.waitUntilReady()
  return {
    redis: new Redis(url),
    hold: async () => {
      await queue.addBulk(Array.from({ length: count }, () => ({ name: TICKET_DATA.title, data: TICKET_DATA })))
      await waitFor(async () => (await queue.getActiveCount()) === count, { what: 'all jobs to be in work' })
    },
    stop: async () => {
      over.resolve()
      await worker.close()
      await queue.close()
      redis.disconnect()
    },
  }
}
