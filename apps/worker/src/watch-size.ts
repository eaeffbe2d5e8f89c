import { setTimeout as sleep } from 'node:timers/promises'

import type { TaskId } from '@longshore/contracts'

import type { Run } from './run.ts'

/** Says what a task's workspace holds too much of; undefined while it does not. Rejects where that cannot be known. */
export type Outgrown = (taskId: TaskId, signal: AbortSignal) => Promise<string | undefined>

const LEAST_PAUSE_MS = 5_000
/** Counting takes at most a twentieth of the time, however large the tree is. */
const PAUSE_PER_COUNT = 20

/** Looks now and then, until the run ends, and says once that the workspace has outgrown its limits. */
export async function watchSize(run: Run, until: AbortSignal, onOver: (message: string) => void): Promise<void> {
  const { outgrown, sizeEveryMs = LEAST_PAUSE_MS } = run.deps
  if (outgrown === undefined) return
  const pause = (ms: number) => sleep(ms, undefined, { signal: until, ref: false }).then(() => true, () => false)
  let pauseMs = sizeEveryMs
  while (await pause(pauseMs)) {
    const began = performance.now()
    const over = run.execution === undefined ? undefined : await outgrown(run.task.id, until).catch((error: unknown) => {
      run.log.debug({ err: error }, 'the size of a workspace is not known')
      return undefined
    })
    if (over !== undefined && !until.aborted) onOver(`the task's workspace holds ${over}`)
    pauseMs = Math.max(sizeEveryMs, (performance.now() - began) * PAUSE_PER_COUNT)
  }
}
