import process from 'node:process'

import { waitFor } from '@longshore/testkit'

import type { Child } from './child.ts'
import { median, type Result } from './figures.ts'
import { inParallel } from './in-parallel.ts'
import { cpuMs } from './process-figures.ts'
import { onStage, type Stage } from './stage.ts'

const CONCURRENCY = 50

/** Tasks per second, and the CPU that each costs in Redis, the worker and here, where they are added, in µs. */
interface Figures { perSecond: number; redis: number; worker: number; adder: number }

/** Tasks per second from the first submit to the last `completed`, and the same for bare jobs. */
export function benchLifecycle(rounds: number, count: number): Promise<Result> {
  return onStage(CONCURRENCY, async (stage) => {
    const ours = () => figuresOf(stage, stage.ours, count, async () => {
      const before = await stage.completed()
      await inParallel(count, CONCURRENCY, async () => stage.dispatch(await stage.submit()))
      await waitFor(async () => (await stage.completed()) - before === count, { timeoutMs: 120_000, everyMs: 5, what: `${count} completed tasks` })
    })
    const bare = () => figuresOf(stage, stage.bare, count, async () => {
      stage.bare.tell({ wanted: count })
      const done = stage.bare.heard()
      await inParallel(count, CONCURRENCY, stage.addBare)
      await done
    })
    await bare()
    await ours()
    const figures: { bare: Figures; ours: Figures }[] = []
    for (let round = 0; round < rounds; round++) figures.push({ bare: await bare(), ours: await ours() })
    const middle = (pick: (figure: (typeof figures)[number]) => number) => median(figures.map(pick))
    const cpu = (who: 'bare' | 'ours', what: string) => (['redis', 'worker', 'adder'] as const).map((part) =>
      ({ what: `${what}, CPU of ${part === 'redis' ? 'Redis' : `the ${part}`}`, value: middle((figure) => figure[who][part]), unit: 'µs' }))
    return {
      name: `lifecycle: ${count.toLocaleString('en')} tasks a round, ${CONCURRENCY} at once`,
      rounds,
      rows: [
        { what: 'bare BullMQ: add → no-op job done', value: middle(({ bare: { perSecond } }) => perSecond), unit: '1/s' },
        { what: 'Longshore: submit → scripted backend → completed', value: middle(({ ours: { perSecond } }) => perSecond), unit: '1/s' },
        { what: 'Longshore ÷ bare', value: middle((figure) => figure.ours.perSecond / figure.bare.perSecond), unit: '×', aim: '≥ 0.4' },
        ...cpu('bare', 'bare job'),
        ...cpu('ours', 'task'),
      ],
    }
  })
}

async function figuresOf(stage: Stage, worker: Child, count: number, work: () => Promise<void>): Promise<Figures> {
  const used = async () => [await stage.redisCpuMs(), await cpuMs(worker.pid), await cpuMs(process.pid)] as const
  const [before, since] = [await used(), performance.now()]
  await work()
  const [perSecond, after] = [(count / (performance.now() - since)) * 1_000, await used()]
  const each = (i: 0 | 1 | 2) => ((after[i] - before[i]) * 1_000) / count
  return { perSecond, redis: each(0), worker: each(1), adder: each(2) }
}
