import type { Child } from './child.ts'
import { median, percentile, type Result, type Row } from './figures.ts'
import { onStage } from './stage.ts'

const CONCURRENCY = 50

/** What one task or job waited, in ms: `add` from the call that queues it, `submit` from the call that accepts it. */
interface Wait { add: number; submit: number }

const now = () => performance.timeOrigin + performance.now()

/** From the call that adds to the first line of the job or the backend, one after another, each on a worker that is idle again. */
export function benchLatency(rounds: number, count: number): Promise<Result> {
  return onStage(CONCURRENCY, async (stage) => {
    for (const child of [stage.ours, stage.bare]) child.tell({ tellsStarts: true })
    const sample = async (child: Child, submit: () => Promise<() => Promise<unknown>>): Promise<Wait> => {
      // Told when the worker is idle again.
      const told = child.heard()
      const submittedAt = now()
      const add = await submit()
      const addedAt = now()
      await add()
      const startedAt = Number(await told)
      return { add: startedAt - addedAt, submit: startedAt - submittedAt }
    }
    const bare = () => series(count, () => sample(stage.bare, () => Promise.resolve(stage.addBare)))
    const ours = () => series(count, () => sample(stage.ours, async () => {
      const ticket = await stage.submit()
      return () => stage.add(ticket)
    }))
    await bare()
    await ours()
    const figures: { bare: Wait[]; ours: Wait[] }[] = []
    for (let round = 0; round < rounds; round++) figures.push({ bare: await bare(), ours: await ours() })
    return { name: `latency: ${count} tasks a round, one at a time`, rounds, rows: [50, 99].flatMap((p) => rowsOf(figures, p)) }
  })
}

function rowsOf(figures: { bare: Wait[]; ours: Wait[] }[], p: number): Row[] {
  const waits = figures.map(({ bare, ours }) => ({
    bare: percentile(bare.map(({ add }) => add), p),
    add: percentile(ours.map(({ add }) => add), p),
    submit: percentile(ours.map(({ submit }) => submit), p),
  }))
  const middle = (pick: (wait: (typeof waits)[number]) => number) => median(waits.map(pick))
  return [
    { what: `bare BullMQ, add → started, p${p}`, value: middle(({ bare }) => bare), unit: 'ms' },
    { what: `Longshore, add → started, p${p}`, value: middle(({ add }) => add), unit: 'ms' },
    { what: `Longshore ÷ bare, add → started, p${p}`, value: middle(({ add, bare }) => add / bare), unit: '×', aim: '≤ 1.5' },
    { what: `Longshore, submit → started, p${p}`, value: middle(({ submit }) => submit), unit: 'ms' },
  ]
}

async function series<T>(count: number, take: () => Promise<T>): Promise<T[]> {
  const values: T[] = []
  for (let i = 0; i < count; i++) values.push(await take())
  return values
}
