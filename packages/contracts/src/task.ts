import { z } from 'zod'
import { Archived } from './archived.ts'
import { CallbackUrl } from './callback.ts'
import { Choices } from './choices.ts'
import { PausedEnd } from './control.ts'
import { Network } from './egress.ts'
import { TaskResult, TimeLimit } from './events.ts'
import { Failure } from './failures.ts'
import { Handle } from './handle.ts'
import { AgentId, EventId, TaskId } from './ids.ts'
import { Kept, OutputPart } from './kept.ts'
import { DEFAULT_MAX_ATTEMPTS, DEFAULT_TIMEOUT_MS, MAX_IDEMPOTENCY_KEY_CHARACTERS, MAX_OBSERVERS, MAX_PROMPT_BYTES, MAX_QUEUE_TTL_MS, MAX_TIMEOUT_MS, MAX_TITLE_CHARACTERS, MIN_TIMEOUT_MS } from './limits.ts'
import { Mode } from './mode.ts'
import { PermissionPolicy } from './permission.ts'
import { ProfileName } from './profile.ts'
import { TaskState } from './state.ts'
import { Budget } from './usage.ts'
import { TaskWorkspace } from './workspace.ts'

/** The agent's words. Counted in bytes: that is what Redis holds. */
export const Prompt = z
  .string()
  .min(1, 'must not be empty')
  .refine((text) => Buffer.byteLength(text) <= MAX_PROMPT_BYTES, { error: `must be at most ${MAX_PROMPT_BYTES} bytes (256 KiB) of UTF-8` })

export const QueueTtlMs = z.int().min(MIN_TIMEOUT_MS).max(MAX_QUEUE_TTL_MS)
export const TimeoutMs = z.int().min(MIN_TIMEOUT_MS).max(MAX_TIMEOUT_MS)
// Half a surrogate pair is no text: Redis' own JSON reader, for one, refuses it.
const wellFormed = (text: string) => text.isWellFormed()
const NOT_WELL_FORMED = 'must be well-formed Unicode, without lone surrogates'

/** A Matrix user id. */
export const Observer = z.string().regex(/^@[^\s:]{1,200}:[^\s]{1,200}$/, 'an observer is a Matrix user id, @name:server').max(255).refine(wellFormed, NOT_WELL_FORMED)
/** Who watches a task, as it stands since somebody was added or removed. */
export const Watcher = z.object({
  id: Observer,
  type: z.enum(['human', 'agent']),
  /** May read in the task's room, and not write. */
  read_only: z.boolean(),
  by: z.string(),
  /** Redis ms. */
  at: z.int(),
})
export type Watcher = z.infer<typeof Watcher>
/** What makes a repeated submit the same submit (G2). */
export const IdempotencyKey = z.string().min(1).max(MAX_IDEMPOTENCY_KEY_CHARACTERS).refine(wellFormed, NOT_WELL_FORMED)

/** What the ledger needs to accept a task: everything is decided, nothing defaulted later. */
export const NewTask = z.object({
  id: TaskId,
  agent_id: AgentId,
  prompt: Prompt,
  title: z.string().min(1).max(MAX_TITLE_CHARACTERS),
  mode: Mode,
  /** The caller chose the mode, not the rollout: whoever runs the same work again keeps it. */
  mode_asked: z.literal(true).optional(),
  profile: ProfileName.default('opencode'),
  ...Choices.shape,
  timeout_ms: TimeoutMs.default(DEFAULT_TIMEOUT_MS),
  /** How long it may wait for its first start; without it, for ever. Later waits count against the deadline. */
  queue_ttl_ms: QueueTtlMs.optional(),
  /** How long it may stay paused in one go; then `paused_end` holds, which is a timeout where nothing is said. */
  paused_ttl_ms: QueueTtlMs.optional(),
  paused_end: PausedEnd.optional(),
  /** What its agent may do without asking, on top of what deployment and agent say: it can only take away. */
  permissions: PermissionPolicy.optional(),
  /** How long a question of its agent waits for an answer. */
  input_ttl_ms: QueueTtlMs.optional(),
  /** What all its attempts may use together. */
  budget: Budget.optional(),
  /** The caller's own part of it; the rest is the deployment's. */
  budget_asked: Budget.optional(),
  /** What its agent may reach; without it, what the worker gives. */
  network: Network.optional(),
  max_attempts: z.int().min(1).max(10).default(DEFAULT_MAX_ATTEMPTS),
  /** Absent: an empty one. */
  workspace: TaskWorkspace.optional(),
  observers: z.array(Observer).max(MAX_OBSERVERS).default([]),
  /** Where the notifier posts what happens to it, beside the deployment's own webhooks. */
  callback_url: CallbackUrl.optional(),
  idempotency_key: IdempotencyKey.optional(),
})
export type NewTask = z.infer<typeof NewTask>

/** What somebody asked of a task that another owns. */
export const Request = z.object({ by: z.string(), reason: z.string().optional(), at: z.int() })
export type Request = z.infer<typeof Request>

/** The ledger's record of a task. Times are Redis TIME in ms. Absent means: not yet, or not for this task. */
export const Task = NewTask.extend({
  v: z.literal(1),
  state: TaskState,
  /** The fence: raised at every take of the task (G4). 0: never taken. */
  claim: z.int().nonnegative(),
  /** The try users see, from 1; 0 before the first start. */
  attempt: z.int().nonnegative(),
  /** The number of the current ticket; any other does nothing. */
  ticket: z.int().positive(),
  created_at: z.int(),
  /** Of the current attempt. */
  started_at: z.int().optional(),
  ended_at: z.int().optional(),
  /** When `timeout_ms` is over; set at the start of the first attempt that runs, kept by takeovers (G9). */
  deadline_at: z.int().optional(),
  worker: z.string().optional(),
  /** Owners in a row that died while they held it; an owner that held it for long, or ended in order, starts the count again. */
  crashes: z.int().nonnegative().optional(),
  /** The engine that holds its execution: only workers that reach it get the current ticket. */
  route: z.string().optional(),
  /** The storage on which its named workspace is. */
  home: z.string().optional(),
  handle: Handle.optional(),
  /** Where the mirror of the execution's source stands; the driver's own words (G5). */
  position: z.string().optional(),
  /** The last event. */
  seq: z.int().nonnegative(),
  last_event_id: z.union([EventId, z.literal('')]),
  result: TaskResult.optional(),
  failure: Failure.optional(),
  limit: TimeLimit.optional(),
  /** Somebody asked for the end while it ran; the owner carries it out. */
  cancel_requested: Request.optional(),
  /** Somebody asked for a pause while it ran; the owner carries it out. */
  pause_requested: Request.optional(),
  /** Messages that have not reached the agent yet. */
  messages_waiting: z.int().nonnegative().optional(),
  /** What its agent wants to know and nobody has answered yet. */
  asking: z.int().nonnegative().optional(),
  /** Answers that have not reached the agent yet. */
  answers_waiting: z.int().nonnegative().optional(),
  /** What it has used so far, as budgets count it. */
  tokens: z.int().nonnegative().optional(),
  cost_micros: z.int().nonnegative().optional(),
  /** Since when it waits for a person; its deadline stands still. */
  waiting_at: z.int().optional(),
  /** Since when it is paused. */
  paused_at: z.int().optional(),
  /** Ids of the messages that had not reached the agent when it ended. */
  undelivered: z.array(z.string()).optional(),
  /** Where its full output is, as far as the log goes. */
  output_parts: z.array(OutputPart).optional(),
  /** After its end: what the blob store has of it. */
  kept: Kept.optional(),
  /** Since `observers` were changed: the same with what is known of each. */
  watchers: z.array(Watcher).optional(),
  /** After its end: its archived conversation. */
  archived: Archived.optional(),
})
export type Task = z.infer<typeof Task>

/** The first line of the prompt that says anything, shortened: names a task in lists, cards and tickets. */
export function titleOf(prompt: string): string {
  // Control and bidi-override characters could forge what a person reads (G14).
  const line = prompt.slice(0, 1024).split(/\r?\n/).map((text) => text.replace(/[\p{Cc}\p{Cf}]/gu, '').trim()).find((text) => text !== '') ?? 'untitled'
  return shorten(line).slice(0, MAX_TITLE_CHARACTERS).toWellFormed()
}

const TITLE_GRAPHEMES = 80
const graphemes = new Intl.Segmenter()

function shorten(line: string): string {
  // A grapheme has at least one unit, and in ASCII exactly one: most titles need no segmenting, which costs more than the rest of a submit's checks.
  if (line.length <= TITLE_GRAPHEMES) return line
  if (/^[ -~]*$/.test(line)) return `${line.slice(0, TITLE_GRAPHEMES - 1)}…`
  const all = Array.from(graphemes.segment(line), ({ segment }) => segment)
  return all.length <= TITLE_GRAPHEMES ? line : `${all.slice(0, TITLE_GRAPHEMES - 1).join('')}…`
}
