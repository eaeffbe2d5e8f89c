import { Worker } from 'bullmq'
import { Redis } from 'ioredis'
import process from 'node:process'

import { whenIdle } from './when-idle.ts'

// BullMQ's own worker with a job that does nothing; tells its parent when each one started, or when `wanted` are done.
const redis = new Redis(process.env['BENCH_REDIS_URL'] ?? '', { maxRetriesPerRequest: null })
let [started, done] = [0, 0]
let wanted = Number.POSITIVE_INFINITY
let tellsStarts = false

const worker = new Worker('bare', () => {
  started += 1
  const startedAt = performance.timeOrigin + performance.now()
  if (tellsStarts) void whenIdle(() => done < started).then(() => process.send?.(startedAt))
  return Promise.resolve()
}, { connection: redis, concurrency: Number(process.env['BENCH_CONCURRENCY'] ?? 1), removeOnComplete: { age: 3_600, count: 1_000 } })
worker.on('completed', () => {
  done += 1
  if (done === wanted) process.send?.('done')
})
process.on('message', (message: { wanted?: number; tellsStarts?: boolean }) => {
  tellsStarts = message.tellsStarts ?? false
  wanted = message.wanted === undefined ? Number.POSITIVE_INFINITY : done + message.wanted
})
process.on('SIGTERM', () => process.exit(0))
await worker.waitUntilReady()
process.send?.('ready')
