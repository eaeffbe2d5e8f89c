import { setTimeout as sleep } from 'node:timers/promises'

import { waitFor } from '@longshore/testkit'
import type { Redis } from 'ioredis'

import type { GatewayProcess } from '../gateway-process.ts'
import { percentile, type Row } from '../figures.ts'
import { rssMb } from '../process-figures.ts'
import { openLog } from './log-writer.ts'
import { subscribeSse } from './subscribers.ts'

/** A gateway that is idle gives back every few seconds what its last burst left. */
const SETTLE_MS = 10_000
/** Events before anything is measured: a gateway that was never used is smaller. */
const WARM_UP = 1_000

/** Many subscribers of one task on one gateway: memory of each, and what an event takes to reach each of them. */
export async function crowdOfReaders(gateway: GatewayProcess, writer: Redis, readers: number, events: number): Promise<Row[]> {
  const log = await openLog(writer)
  const arrivals: number[] = []
  let sentAt = 0
  const open = (count: number) => Promise.all(Array.from({ length: count }, () => subscribeSse(gateway.url, gateway.key, log.taskId, () => arrivals.push(performance.now() - sentAt))))
  // What only the first ones cost is not theirs.
  const first = await open(20)
  for (let i = 0; i < WARM_UP; i++) await log.append(['x'.repeat(80)])
  await waitFor(() => arrivals.length === WARM_UP * first.length, { what: 'the first events to reach the first readers' })
  arrivals.length = 0
  await sleep(SETTLE_MS)
  const before = await rssMb(gateway.pid)
  const subscribers = [...first, ...(await inTurns(readers - first.length, 50, open))]
  await sleep(SETTLE_MS)
  const idle = await rssMb(gateway.pid)
  for (let i = 1; i <= events; i++) {
    sentAt = performance.now()
    await log.append(['x'.repeat(80)])
    await waitFor(() => arrivals.length === i * readers, { what: `event ${i} to reach everybody (${arrivals.length} came)`, everyMs: 5 })
  }
  await sleep(SETTLE_MS)
  const busy = await rssMb(gateway.pid)
  for (const subscriber of subscribers) subscriber.close()
  const each = (mb: number) => ((mb - before) * 1024) / (readers - first.length)
  return [
    { what: `memory per subscriber, ${readers} of them, idle`, value: each(idle), unit: 'KB', aim: '≤ 50' },
    { what: `memory per subscriber, after ${events} events to each`, value: each(busy), unit: 'KB', aim: '≤ 50' },
    { what: `append → each of ${readers} SSE subscribers, p50`, value: percentile(arrivals, 50), unit: 'ms' },
    { what: `append → each of ${readers} SSE subscribers, p99`, value: percentile(arrivals, 99), unit: 'ms' },
  ]
}

async function inTurns<T>(count: number, size: number, open: (count: number) => Promise<T[]>): Promise<T[]> {
  const all: T[] = []
  while (all.length < count) all.push(...(await open(Math.min(size, count - all.length))))
  return all
}
