import { type Mode, MODES, type TaskId } from '@longshore/contracts'
import { waitFor } from '@longshore/testkit'

import { type Deck, onDeck, type TaskOnDeck } from './deck.ts'
import { percentile, type Result, type Row } from './figures.ts'
import { createLook } from './what-is-left.ts'

/** At once on the worker: others run, and their agents wait, beside the one that is measured. */
const SLOTS = 4
/** It waits for its model, and has left a child behind that is in no process group of its own. */
const RUNNING = '[[bash (exec setsid sleep 600) >/dev/null 2>&1 & echo begun]] [[hang]]'
const AIM = '< 2,000'

/** In ms since the call that asks for the cancel. `gone`: there is no container, no server, no process of it any more. */
interface Cancelled { over: number; gone: number }

/**
 * From the cancel of a task to its end, and to the end of all that ran of it; and of one that waits in the queue.
 * @param rounds how often `count` tasks are cancelled in each mode
 */
export function benchCancel(rounds: number, count: number): Promise<Result> {
  return onDeck(async (deck) => {
    const isThere = createLook(deck.engine.host)
    const rows: Row[] = []
    for (const mode of MODES) {
      const worker = await deck.worker({ WORKER_MODES: mode, WORKER_CONCURRENCY: String(SLOTS), LOG_LEVEL: 'error' })
      const [running, queued]: [Cancelled[], Cancelled[]] = [[], []]
      while (running.length < rounds * count) {
        const batch: TaskOnDeck[] = []
        // One after the other: what is measured is a cancel, not four servers that start on two cores.
        while (batch.length < SLOTS) batch.push(await begun(deck, mode))
        for (const task of await Promise.all(batch.map(() => deck.submit('[[hang]]', mode)))) queued.push(await cancelled(task, isThere))
        for (const task of batch) running.push(await cancelled(task, isThere))
      }
      rows.push(...rowsOf(`${mode}, running`, running), ...rowsOf(`${mode}, queued`, queued))
      await worker.stop()
    }
    return { name: `cancel: ${rounds * count} running and as many queued tasks in each mode`, rounds, rows }
  })
}

async function begun(deck: Deck, mode: Mode): Promise<TaskOnDeck> {
  const task = await deck.submit(RUNNING, mode)
  await task.event('task.tool')
  return task
}

async function cancelled(task: TaskOnDeck, isThere: (id: TaskId) => Promise<boolean>): Promise<Cancelled> {
  const asked = Date.now()
  await task.cancel()
  const gone = waitFor(async () => !(await isThere(task.id)), { what: `nothing to be left of ${task.id}`, timeoutMs: 60_000, everyMs: 10 }).then(() => Date.now() - asked)
  // Redis' own time: how soon a reader polls does not count.
  const { at } = await task.event('task.cancelled')
  return { over: Math.max(0, at - asked), gone: Math.max(at - asked, await gone) }
}

function rowsOf(what: string, found: readonly Cancelled[]): Row[] {
  const [over, gone] = [found.map((one) => one.over), found.map((one) => one.gone)]
  return [
    { what: `${what}, cancel → \`cancelled\`, p50`, value: percentile(over, 50), unit: 'ms' },
    { what: `${what}, the same, p99`, value: percentile(over, 99), unit: 'ms', aim: AIM },
    { what: `${what}, cancel → over and nothing left, p50`, value: percentile(gone, 50), unit: 'ms' },
    { what: `${what}, the same, p99`, value: percentile(gone, 99), unit: 'ms', aim: AIM },
    { what: `${what}, the longest`, value: Math.max(...gone), unit: 'ms' },
  ]
}
