import { type AnyEvent, LongshoreError, type Task } from '@longshore/contracts'

import type { Call, Ports } from '../operation.ts'
import { toTimestamp } from '../parameters.ts'
import type { TaskDiff } from '../task-files-port.ts'
import { type TaskView, viewTask } from '../task-view.ts'
import { wholeLog } from '../whole-log.ts'

/** What of a patch an export holds; the whole is where `whole` says. */
const MAX_PATCH_BYTES = 1024 * 1024

/** All that an export tells; its log is read while it is written. */
export interface Exported {
  exported_at: string
  task: TaskView
  prompt: string
  observers: readonly string[]
  /** Why there is no patch, in words for people, or the patch. */
  diff: { unavailable: string } | (TaskDiff & { whole: string })
  /** Where the rest is, on this gateway. */
  more: { output: string; archive: string; conversation?: string }
  events: AsyncIterable<AnyEvent>
}

/** Gathers it, live and after the end, whether or not a worker is alive: what cannot be had now is named. */
export async function exportedOf(ports: Ports, task: Task, signal: Call['signal']): Promise<Exported> {
  const path = (what: string) => `/api/tasks/${task.id}/${what}`
  const diff = await ports.files.diff(task, { path: undefined, max_bytes: MAX_PATCH_BYTES }, signal).then((found) => ({ ...found, whole: path('diff') }), (error: unknown) => {
    if (error instanceof LongshoreError) return { unavailable: error.message }
    throw error
  })
  return {
    exported_at: toTimestamp(ports.now()), task: viewTask(task, ports.now()), prompt: task.prompt, observers: task.observers, diff,
    more: { output: path('output'), archive: path('archive'), ...(task.archived === undefined ? {} : { conversation: path('conversation') }) },
    events: wholeLog(ports.ledger, task),
  }
}
