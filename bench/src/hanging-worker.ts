import { Worker } from 'bullmq'
import { Redis } from 'ioredis'
import process from 'node:process'

// BullMQ's own worker with a job that never ends; tells its parent when it starts one. BENCH_LOCK: its settings as JSON, its defaults without.
const redis = new Redis(process.env['BENCH_REDIS_URL'] ?? '', { maxRetriesPerRequest: null })
const locks = JSON.parse(process.env['BENCH_LOCK'] ?? '{}') as { lockDuration?: number; stalledInterval?: number }
const worker = new Worker('bare', () => {
  process.send?.(Date.now())
  return new Promise(() => undefined)
}, { connection: redis, ...locks })
await worker.waitUntilReady()
process.send?.('ready')
