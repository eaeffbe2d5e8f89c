import { MAX_EVENTS_PER_TASK, type TaskId } from '@longshore/contracts'
import type { Ledger } from '@longshore/ledger'
import { keysOf } from '@longshore/ledger'
import type { Redis } from 'ioredis'

import { median, type Row } from '../figures.ts'
import { DEPLOYMENT, openLog } from './log-writer.ts'

const BATCH = 500
const PAGE = 16
const SAMPLES = 300

/** Fills the global log with `count` events, tasks of full logs, and reads pages at its beginning and at its end. */
export async function longLog(redis: Redis, count: number): Promise<Row[]> {
  const perTask = MAX_EVENTS_PER_TASK - BATCH
  const tasks: TaskId[] = []
  let ledger: Ledger | undefined
  for (let written = 0; written < count;) {
    const log = await openLog(redis)
    ledger = log.ledger
    tasks.push(log.taskId)
    for (let own = 0; own < perTask && written < count; own += BATCH, written += BATCH) await log.append(Array.from({ length: BATCH }, () => 'x'.repeat(80)))
  }
  const { fleet } = keysOf(DEPLOYMENT)
  const length = await redis.xlen(fleet)
  const [first] = await redis.xrange(fleet, '-', '+', 'COUNT', 1)
  const last = (await redis.xrevrange(fleet, '+', '-', 'COUNT', PAGE + 1)).at(-1)
  if (ledger === undefined || first === undefined || last === undefined) throw new Error('nothing was written')
  const { readFleetEvents, read } = ledger
  const [start, end] = [await took(() => readFleetEvents(first[0], PAGE)), await took(() => readFleetEvents(last[0], PAGE))]
  const [task = first[0]] = tasks
  const [early, late] = [await took(() => read(task, { seq: 1, id: '' }, PAGE)), await took(() => read(task, { seq: perTask - PAGE, id: '' }, PAGE))]
  const events = length.toLocaleString('en')
  return [
    { what: `page of ${PAGE} at the start of a global log of ${events} events`, value: start, unit: 'ms' },
    { what: 'page at its end', value: end, unit: 'ms' },
    { what: 'end ÷ start', value: end / start, unit: '×', aim: '≈ 1' },
    { what: `page at the start of a task's log of ${perTask.toLocaleString('en')} events`, value: early, unit: 'ms' },
    { what: 'page at its end', value: late, unit: 'ms' },
    { what: 'end ÷ start of a task\'s log', value: late / early, unit: '×', aim: '≈ 1' },
  ]
}

async function took(read: () => Promise<unknown>): Promise<number> {
  const samples: number[] = []
  for (let i = 0; i < SAMPLES; i++) {
    const begun = performance.now()
    await read()
    samples.push(performance.now() - begun)
  }
  return median(samples)
}
