import { POISON_WINDOW_MS } from '@longshore/ledger'

import type { Run } from './run.ts'

/** From so many deaths on a task may be what its workers died of. One may have been its neighbour's doing. */
const SUSPECT_CRASHES = 2

/** At most one suspect at a time is at work in a worker. */
export interface Suspects {
  /** Waits for its turn. @returns how it makes room for the next one; again does nothing. @throws when `signal` aborts first */
  enter(signal: AbortSignal): Promise<() => void>
}

export function createSuspects(): Suspects {
  let last = Promise.resolve()
  return {
    async enter(signal) {
      const before = last
      const turn = Promise.withResolvers<void>()
      last = before.then(() => turn.promise)
      try {
        await Promise.race([before, aborted(signal)])
      } catch (error) {
        turn.resolve()
        throw error
      }
      return () => turn.resolve()
    },
  }
}

/**
 * A task whose last workers died runs as the only such one here, so that the next death says whose doing it was: all tasks of a worker
 * share its fate, and one that kills it again and again would take its neighbours along (poison). While it waits, nothing counts against
 * it. Whoever outlives the time after which a death is not held against a task makes room.
 */
export async function standTrial(run: Run): Promise<void> {
  const { deps, claim, task, context } = run
  if ((task.crashes ?? 0) < SUSPECT_CRASHES) return
  await deps.ledger.letGo(claim)
  const leave = await deps.suspects.enter(context.signal)
  const timer = setTimeout(leave, POISON_WINDOW_MS)
  context.signal.addEventListener('abort', () => {
    clearTimeout(timer)
    leave()
  }, { once: true })
  await deps.ledger.holdOn(claim, deps.clock.now())
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    if (signal.aborted) reject(signal.reason as Error)
    else signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
  })
}
