import { Queue } from 'bullmq'
import { Redis } from 'ioredis'
import process from 'node:process'

import { inParallel } from './in-parallel.ts'
import { TICKET_DATA } from './ticket-data.ts'

// A process that does nothing but `queue.add`, so that its CPU can be told from everything else's.
const redis = new Redis(process.env['BENCH_REDIS_URL'] ?? '')
const queue = new Queue('bare', { connection: redis })
let added = 0

process.on('message', ({ count, width }: { count: number; width: number }) => {
  const add = () => queue.add(TICKET_DATA.title, TICKET_DATA, { jobId: `bare-${process.pid}-${added++}`, removeOnComplete: { age: 3_600, count: 1_000 } })
  void inParallel(count, width, add).then(() => process.send?.({ added }))
})
process.on('SIGTERM', () => process.exit(0))
await queue.waitUntilReady()
process.send?.({ added })
