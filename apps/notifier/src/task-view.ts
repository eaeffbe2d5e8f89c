import { z } from 'zod'

import { Cursor, type AnyEvent, START } from '@longshore/contracts'
import { cleanLine } from './render/safe-text.ts'

/** Distinct paths that a view remembers; beyond it only their number at the end is known. */
const MAX_FILES = 100

/** What the notifier has read of one task: where it stands in the log, and what the card shows besides the record. */
export const TaskView = z.object({
  v: z.literal(1),
  cursor: Cursor,
  /** Tool calls that ended. */
  steps: z.int().nonnegative(),
  files: z.array(z.string()),
  /** The newest step. */
  doing: z.string(),
  /** Why it waits, was retried or taken over. */
  remark: z.string(),
  /** Digest of the card drafted last: an event that changes nothing visible makes no edit. */
  shown: z.string(),
  /** What a sink itself keeps of the task. */
  memory: z.unknown().optional(),
})
export type TaskView = z.infer<typeof TaskView>

export const EMPTY_VIEW: TaskView = { v: 1, cursor: START, steps: 0, files: [], doing: '', remark: '', shown: '' }

/** The view after one more event; events this build does not know only move the cursor. */
export function advanceView(view: TaskView, event: AnyEvent): TaskView {
  const moved = { ...view, cursor: { seq: event.seq, id: event.id } }
  if (!event.known) return moved
  switch (event.type) {
    case 'task.tool':
      return { ...moved, steps: view.steps + 1, doing: cleanLine(`${event.payload.tool}: ${event.payload.title}`, 120) }
    case 'task.file_changed':
      return { ...moved, files: withFile(view.files, cleanLine(event.payload.path, 120)) }
    case 'task.started':
      // Why there is another attempt stays true while that one runs.
      return { ...moved, remark: event.payload.attempt > 1 ? view.remark : '', doing: '' }
    case 'task.resumed':
      return { ...moved, remark: cleanLine(`Resumed on ${event.payload.worker}: ${event.payload.detail}`, 240) }
    case 'task.adopted':
      return { ...moved, remark: cleanLine(`Taken over by ${event.payload.worker}; the run goes on, nothing is lost.`, 240) }
    case 'task.retrying':
      return { ...moved, remark: cleanLine(`Attempt ${event.payload.attempt} failed (${event.payload.failure.code}): ${event.payload.failure.message}`, 240) }
    case 'task.input_required':
      return { ...moved, remark: cleanLine(`${event.payload.question}${event.payload.choices.length === 0 ? '' : ` (${event.payload.choices.join(' | ')})`}`, 400) }
    case 'task.paused':
      return { ...moved, remark: cleanLine(`Paused by ${event.payload.by}${event.payload.reason === undefined ? '' : `: ${event.payload.reason}`}`, 240) }
    case 'task.input_answered':
      return { ...moved, remark: '' }
    case 'task.queued':
      return event.payload.reason === 'resume' ? { ...moved, remark: cleanLine(event.payload.by === undefined ? 'To be resumed' : `Resumed by ${event.payload.by}`, 240) } : moved
    case 'task.output': case 'task.usage': case 'task.message': case 'task.message_delivered':
    case 'task.completed': case 'task.failed': case 'task.timeout': case 'task.cancelled':
      return moved
  }
}

function withFile(files: readonly string[], path: string): string[] {
  return files.includes(path) || files.length >= MAX_FILES ? [...files] : [...files, path]
}
