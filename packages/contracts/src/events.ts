import { z } from 'zod'
import { Mail } from './control.ts'
import { Failure } from './failures.ts'
import { EventId, TaskId } from './ids.ts'
import { Isolation, Mode } from './mode.ts'
import { Usage } from './usage.ts'
import { GitResult } from './workspace.ts'

/** Why a task is (again) in the queue. */
export const QueuedReason = z.enum(['submitted', 'retry', 'resume', 'answer', 'handover', 'ticket_lost'])
export type QueuedReason = z.infer<typeof QueuedReason>

/** Which limit ended a task (G9: every end says so). */
export const TimeLimit = z.enum(['timeout_ms', 'queue_ttl_ms', 'paused_ttl_ms'])
export type TimeLimit = z.infer<typeof TimeLimit>

export const FileChange = z.object({
  /** Relative to the workspace's `repo/`, `/`-separated; data, never a path to open unchecked (G14). */
  path: z.string(),
  change: z.enum(['added', 'modified', 'deleted']),
})
export type FileChange = z.infer<typeof FileChange>

/** What a finished task leaves behind. `output`: the last `MAX_OUTPUT_CHARACTERS` of what the agent said. */
export const TaskResult = z.object({
  output: z.string(),
  output_truncated: z.boolean(),
  exit_code: z.int().optional(),
  files_changed: z.int().nonnegative(),
  usage: Usage.optional(),
  git: GitResult.optional(),
})
export type TaskResult = z.infer<typeof TaskResult>

/** Messages that never reached the agent. */
const undelivered = z.array(z.string()).optional()

/** Type by type, what an event says. A new field is optional; a changed meaning is a new `v`. */
export const EVENT_PAYLOADS = {
  'task.queued': z.object({ reason: QueuedReason, ticket: z.int(), mode: Mode, title: z.string(), delay_ms: z.int().optional(), by: z.string().optional() }),
  'task.started': z.object({
    attempt: z.int(), claim: z.int(), worker: z.string(), mode: Mode, deadline_at: z.int(), isolation: Isolation.optional(),
  }),
  'task.resumed': z.object({ attempt: z.int(), claim: z.int(), worker: z.string(), detail: z.string() }),
  'task.adopted': z.object({ attempt: z.int(), claim: z.int(), worker: z.string() }),
  'task.output': z.object({ text: z.string(), stream: z.enum(['agent', 'stdout', 'stderr']) }),
  'task.tool': z.object({
    tool: z.string(), title: z.string(), status: z.enum(['completed', 'error']),
    input: z.string().optional(), output: z.string().optional(), duration_ms: z.int().optional(),
  }),
  'task.file_changed': FileChange,
  'task.usage': Usage,
  'task.message': Mail,
  'task.message_delivered': z.object({ message_id: z.string() }),
  'task.input_required': z.object({
    input_id: z.string(), kind: z.enum(['permission', 'question']), question: z.string(), choices: z.array(z.string()),
    /** Whether another text than a choice, or more than one choice, is an answer. */
    free_text: z.boolean().optional(), multiple: z.boolean().optional(),
    tool: z.string().optional(), expires_at: z.int().optional(),
    /** Asked again, because this one resumed the task before anybody had answered. */
    by: z.string().optional(),
  }),
  'task.input_answered': z.object({
    input_id: z.string(), answer: z.string(), by: z.string(), message: z.string().optional(),
    /** `expired`: nobody answered in time. `withdrawn`: the agent does not ask any more. Absent: somebody answered. */
    why: z.enum(['expired', 'withdrawn']).optional(),
  }),
  'task.paused': z.object({ by: z.string(), reason: z.string().optional() }),
  'task.retrying': z.object({ attempt: z.int(), failure: Failure, delay_ms: z.int() }),
  'task.completed': z.object({ attempt: z.int(), duration_ms: z.int(), undelivered, result: TaskResult }),
  'task.failed': z.object({ attempt: z.int(), duration_ms: z.int(), undelivered, failure: Failure, result: TaskResult.optional() }),
  'task.timeout': z.object({ attempt: z.int(), duration_ms: z.int(), undelivered, limit: TimeLimit, limit_ms: z.int(), result: TaskResult.optional() }),
  'task.cancelled': z.object({ attempt: z.int(), duration_ms: z.int(), undelivered, by: z.string(), reason: z.string().optional(), result: TaskResult.optional() }),
} as const

export type EventType = keyof typeof EVENT_PAYLOADS
export const EVENT_TYPES = Object.keys(EVENT_PAYLOADS) as [EventType, ...EventType[]]
export const EventType = z.enum(EVENT_TYPES)
export type EventPayload<T extends EventType> = z.infer<(typeof EVENT_PAYLOADS)[T]>

/** An event before the ledger gives it its `seq` and time: what writers hand in. */
export type EventDraft = { [T in EventType]: { type: T; payload: EventPayload<T> } }[EventType]

interface Envelope {
  v: 1
  id: EventId
  task_id: TaskId
  /** 1, 2, 3, … per task, no gap, no duplicate (G5). */
  seq: number
  /** Redis TIME, integer milliseconds since the epoch. */
  at: number
}
export type TaskEvent = { [T in EventType]: Envelope & { type: T; payload: EventPayload<T> } }[EventType]

/** An event of a type or version that this build does not know: passed on untouched, never dropped. */
export interface UnknownEvent { v: number; id: EventId; task_id: TaskId; seq: number; at: number; type: string; payload: unknown }
export type AnyEvent = (TaskEvent & { known: true }) | (UnknownEvent & { known: false })

const EnvelopeSchema = z.object({ v: z.int(), id: EventId, task_id: TaskId, seq: z.int().positive(), at: z.int(), type: z.string(), payload: z.unknown() })

/** Parses a stored event. Throws only when the envelope itself is broken: that is corruption, not a newer version. */
export function parseEvent(raw: unknown): AnyEvent {
  const envelope = EnvelopeSchema.parse(raw)
  const type = EventType.safeParse(envelope.type)
  if (envelope.v !== 1 || !type.success) return { ...envelope, payload: envelope.payload, known: false }
  const payload = EVENT_PAYLOADS[type.data].safeParse(envelope.payload)
  if (!payload.success) return { ...envelope, payload: envelope.payload, known: false }
  return { ...envelope, type: type.data, payload: payload.data, known: true } as AnyEvent
}

/** Where a reader stands: the last event it has. `{ seq: 0, id: '' }` is before the first (G6). */
export const Cursor = z.object({ seq: z.int().nonnegative(), id: z.union([EventId, z.literal('')]) })
export type Cursor = z.infer<typeof Cursor>
export const START: Cursor = { seq: 0, id: '' }

/** `<seq>-<id>`: how a cursor is written in a URL, a `Last-Event-ID` header or a tool result. */
export function formatCursor(cursor: Cursor): string {
  return cursor.seq === 0 ? '0' : `${cursor.seq}-${cursor.id}`
}

/** The inverse of `formatCursor`; undefined for anything else. */
export function parseCursor(text: string): Cursor | undefined {
  if (text === '0') return START
  const [, seq, id] = /^([1-9]\d*)-([^-]+)$/.exec(text) ?? []
  return Cursor.safeParse({ seq: Number(seq), id }).data
}
