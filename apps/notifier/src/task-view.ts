import { z } from 'zod'

import { type AnyEvent, Cursor, EventId, InputId, InputKind, MAX_OPEN_INPUTS, Observer, START, type TaskEvent } from '@longshore/contracts'
import { cleanLine, cleanText } from './render/safe-text.ts'

/** Distinct paths that a view remembers; beyond it only their number at the end is known. */
const MAX_FILES = 100

/** What people need of an open question, until its answer is told. */
export const Asked = z.object({
  input_id: InputId,
  /** The event that asked: with it the question is one fact, however often it is told again (G8). */
  event_id: EventId,
  seq: z.int().positive(),
  kind: InputKind,
  question: z.string(),
  choices: z.array(z.string()),
  free_text: z.boolean(),
  multiple: z.boolean(),
  expires_at: z.int().optional(),
  answer: z.object({ text: z.string(), by: z.string(), message: z.string().optional(), why: z.enum(['expired', 'withdrawn']).optional() }).optional(),
})
export type Asked = z.infer<typeof Asked>

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
  /** Questions that nobody has answered, and those whose answer was not told yet. */
  asked: z.array(Asked).default([]),
  /** Observers as they were told of last, and who was one before. */
  observers: z.array(Observer).default([]),
  left: z.array(Observer).default([]),
  /** What a sink itself keeps of the task. */
  memory: z.unknown().optional(),
})
export type TaskView = z.infer<typeof TaskView>

export const EMPTY_VIEW: TaskView = { v: 1, cursor: START, steps: 0, files: [], doing: '', remark: '', shown: '', asked: [], observers: [], left: [] }

/** Of a question, in a view and in a message. */
const MAX_QUESTION = 1_500

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
      return { ...moved, remark: cleanLine(event.payload.question, 200), asked: withQuestion(view.asked, event) }
    case 'task.paused':
      return { ...moved, remark: cleanLine(`Paused by ${event.payload.by}${event.payload.reason === undefined ? '' : `: ${event.payload.reason}`}`, 240) }
    case 'task.input_answered':
      return { ...moved, remark: '', asked: withAnswer(view.asked, event) }
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

type Of<T extends TaskEvent['type']> = Extract<TaskEvent, { type: T }>

function withQuestion(asked: readonly Asked[], { id, seq, payload }: Of<'task.input_required'>): Asked[] {
  const inputId = InputId.safeParse(payload.input_id)
  if (!inputId.success) return [...asked]
  const question: Asked = {
    input_id: inputId.data, event_id: id, seq, kind: payload.kind, question: cleanText(payload.question).slice(0, MAX_QUESTION).toWellFormed(),
    choices: payload.choices.map((choice) => cleanLine(choice, 120)), free_text: payload.free_text === true, multiple: payload.multiple === true,
    ...(payload.expires_at === undefined ? {} : { expires_at: payload.expires_at }),
  }
  // Asked again: the same question, with more time.
  const known = asked.find((one) => one.input_id === question.input_id && one.answer === undefined)
  if (known !== undefined) return asked.map((one) => (one === known ? { ...question, event_id: known.event_id, seq: known.seq } : one))
  return [...asked, question].slice(-2 * MAX_OPEN_INPUTS)
}

function withAnswer(asked: readonly Asked[], { payload }: Of<'task.input_answered'>): Asked[] {
  const answer = {
    text: cleanLine(payload.answer, 300), by: cleanLine(payload.by, 120),
    ...(payload.message === undefined ? {} : { message: cleanLine(payload.message, 300) }), ...(payload.why === undefined ? {} : { why: payload.why }),
  }
  return asked.map((one) => (one.input_id === payload.input_id ? { ...one, answer } : one))
}
