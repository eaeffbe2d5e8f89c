import { setTimeout as sleep } from 'node:timers/promises'

import { onDeck } from './deck.ts'
import { median, type Result } from './figures.ts'
import { rssMb } from './process-figures.ts'

const SAMPLE_MS = 2_000
/** A turn of shell and words over and over, some minutes long: longer than all starts and samples. An agent waits more than it works; twenty that never wait are more than two cores bear. */
const PROMPT = '[[bash sleep 5; seq 1 200]] [[stream 100]] '.repeat(80)

/**
 * One worker with many tasks at once, each with an OpenCode server of its own: the memory of the worker process per task,
 * and how long its event loop is late (p99 between two samples, by Node's own measure).
 * @param rounds samples while all run
 * @param count tasks at once
 */
export function benchCrowd(rounds: number, count: number): Promise<Result> {
  return onDeck(async (deck) => {
    const worker = await deck.worker({ WORKER_MODES: 'opencode', WORKER_CONCURRENCY: String(count) })
    const idle = await rssMb(worker.pid)
    const tasks = []
    for (let i = 0; i < count; i++) {
      tasks.push(await deck.submit(PROMPT, 'opencode'))
      // One after the other: what is measured is a worker at work, not twenty servers that start on two cores.
      await tasks.at(-1)?.event('task.tool')
    }
    await worker.metric('longshore_nodejs_eventloop_lag_p99_seconds')
    const samples: { rss: number; lag: number }[] = []
    for (let round = 0; round < rounds; round++) {
      await sleep(SAMPLE_MS)
      samples.push({ rss: await rssMb(worker.pid), lag: (await worker.metric('longshore_nodejs_eventloop_lag_p99_seconds')) * 1_000 })
    }
    for (const task of tasks) await task.cancel()
    for (const task of tasks) await task.event('task.cancelled')
    const rss = median(samples.map((sample) => sample.rss))
    return {
      name: `crowd: ${count} tasks at once on one worker (OpenCode mode, a server each)`, rounds, rows: [
        { what: 'worker process, idle', value: idle, unit: 'MB' }, { what: 'worker process, all running', value: rss, unit: 'MB' },
        { what: 'worker process, per task', value: (rss - idle) / count, unit: 'MB' },
        { what: 'event loop delay p99, median of the samples', value: median(samples.map((sample) => sample.lag)), unit: 'ms', aim: '< 50' },
        { what: 'event loop delay p99, worst sample', value: Math.max(...samples.map((sample) => sample.lag)), unit: 'ms' },
      ],
    }
  })
}
