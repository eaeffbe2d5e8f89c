import { isOver, type Task } from '@longshore/contracts'
import { viewEvent } from './event-view.ts'
import type { Call, Ports } from './operation.ts'

/** The doorbell may be missed; the ledger is read at least this often (ms). */
const READ_AT_LEAST_EVERY_MS = 2_000
/** Progress is for people: not more often than this (ms). */
const PROGRESS_EVERY_MS = 250

/** The task once it is over, or as it stands when the wait or the call ends. Tells what happens meanwhile, to whom asked for it. */
export async function waitForEnd(ports: Ports, submitted: Task, { signal, progress }: Pick<Call, 'signal' | 'progress'>): Promise<Task> {
  const until = ports.now() + ports.limits.syncWaitMs
  const tell = progress === undefined ? undefined : createTeller(ports, progress)
  // Listening begins before the first read, so a ring between the two is not lost.
  const bell = await ports.doorbell.listen(submitted.id)
  try {
    for (;;) {
      const task = (await ports.ledger.get(submitted.id)) ?? submitted
      const left = until - ports.now()
      if (isOver(task.state) || left <= 0 || signal.aborted) return task
      const nextMs = await tell?.(task)
      await bell.next(Math.min(left, nextMs ?? READ_AT_LEAST_EVERY_MS), signal)
    }
  } finally {
    // Not awaited: the answer does not depend on it.
    bell.close().catch(() => undefined)
  }
}

/** @returns what tells of a task's newest event, unless it did a moment ago; then it answers how long that is to wait (ms) */
function createTeller(ports: Ports, progress: NonNullable<Call['progress']>): (task: Task) => Promise<number | undefined> {
  let [told, at] = [0, Number.NEGATIVE_INFINITY]
  return async ({ id, seq, state }) => {
    if (seq === told) return undefined
    const wait = at + PROGRESS_EVERY_MS - ports.now()
    if (wait > 0) return wait
    const page = await ports.ledger.read(id, { seq: seq - 1, id: '' }, 1)
    const [event] = page?.kind === 'events' ? page.events : []
    progress(seq, event === undefined ? state : `${state}: ${viewEvent(event).message}`)
    told = seq
    at = ports.now()
    return undefined
  }
}
