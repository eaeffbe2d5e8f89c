import { type Choice, choicesOf, DEFAULT_PAUSED_TTL_MS, DEFAULT_PROFILE, Handle, MODES, type NewTask, Task, type TaskId, type Ticket, Watcher } from '@longshore/contracts'
import { z } from 'zod'

import { ReadableFailure } from './ending.ts'
import type { TaskSummary } from './ledger.ts'

/**
 * The form in which this build stores records (`rv` in the hash; absent: 1). A record moves forward when it is taken; until then readers
 * fill what it lacks. 2: takes are kept (`taken`, `taken_at`), and with them `crashes` and `route`.
 */
export const RECORD_VERSION = 2

/** The least worker version that understands a task. Raise it for tasks that older workers would misread, and for no others. */
const MIN_WORKER = { any: 1, engines: 2, discards: 3, controls: 4, inputs: 5, workspaces: 5, profiles: 5, networks: 5 } as const

// Numbers of the record, by their field in the hash; absent means 0 for the counters.
const COUNTERS = { claim: 'claim', attempt: 'attempt', seq: 'seq', ticket: 'ticket' } as const
const TIMES = ['created_at', 'started_at', 'ended_at', 'deadline_at', 'waiting_at', 'paused_at'] as const
const Summary = Task.omit({ prompt: true })

/** The fields of the hash that a summary is made of. */
export const SUMMARY_FIELDS = [
  'brief', 'state', 'last', ...Object.values(COUNTERS), ...TIMES, 'handle', 'result', 'failure', 'cancel', 'worker', 'position', 'limit',
  'route', 'crashes', 'tokens', 'cost_micros', 'pause', 'mail', 'asking', 'answers', 'undelivered', 'watchers', 'archived',
] as const

/** HGETALL's answer as an object, from either protocol version; undefined when the key is absent. */
export function fieldsOf(answer: unknown): Record<string, string> | undefined {
  if (Array.isArray(answer)) {
    if (answer.length === 0) return undefined
    return Object.fromEntries(Array.from({ length: answer.length / 2 }, (_, i) => [String(answer[2 * i]), String(answer[2 * i + 1])]))
  }
  const entries = answer instanceof Map ? [...answer.entries()] : Object.entries(answer ?? {})
  return entries.length === 0 ? undefined : Object.fromEntries(entries.map(([name, value]) => [String(name), String(value)]))
}

/** A stored record as a Task. Throws when it does not parse: that is corruption, not a caller's fault. */
export function taskFrom(fields: Readonly<Record<string, string>>): Task {
  return Task.parse({ ...recordFrom(fields), prompt: fields['prompt'] })
}

/** HMGET's answer for `SUMMARY_FIELDS`; undefined when the key is absent. Throws as `taskFrom` does. */
export function summaryFrom(values: readonly (string | null)[]): TaskSummary | undefined {
  const fields = SUMMARY_FIELDS.flatMap((name, i) => (typeof values[i] === 'string' ? [[name, values[i]] as const] : []))
  return fields.length === 0 ? undefined : Summary.parse(recordFrom(Object.fromEntries(fields)))
}

function recordFrom(fields: Readonly<Record<string, string>>): object {
  const json = (name: string): unknown => (fields[name] === undefined ? undefined : JSON.parse(fields[name]))
  // An agent that poses as its own server can claim any number of tokens; the record must stay readable.
  const counted = (name: string) => (fields[name] === undefined ? undefined : Math.min(Number.MAX_SAFE_INTEGER, Number(fields[name])))
  const optional = { handle: json('handle'), result: json('result'), failure: ReadableFailure.optional().parse(json('failure')), cancel_requested: json('cancel'),
    pause_requested: json('pause'), messages_waiting: json('mail'), asking: json('asking'), answers_waiting: json('answers'), undelivered: json('undelivered'), output_parts: json('output'), kept: json('kept'), archived: json('archived'), ...watching(json('watchers')), tokens: counted('tokens'), cost_micros: counted('cost_micros'), worker: fields['worker'], position: fields['position'], limit: fields['limit'], route: fields['route'], home: fields['home'], crashes: json('crashes') }
  return {
    ...(json('brief') as object),
    v: 1,
    state: fields['state'],
    last_event_id: fields['last'] ?? '',
    ...Object.fromEntries(Object.entries(COUNTERS).map(([name, field]) => [name, Number(fields[field] ?? 0)])),
    ...Object.fromEntries(TIMES.filter((name) => fields[name] !== undefined).map((name) => [name, Number(fields[name])])),
    ...Object.fromEntries(Object.entries(optional).filter(([, value]) => value !== undefined)),
  }
}

/** The submitted observers stay in the immutable part; who was added or removed since counts. */
function watching(stored: unknown): Partial<Pick<Task, 'watchers' | 'observers'>> {
  if (stored === undefined) return {}
  const watchers = z.array(Watcher).parse(stored)
  return { watchers, observers: watchers.map(({ id }) => id) }
}

/** The immutable part as it is stored: what rounds and lists need in `brief`, the long prompt beside it. */
export function storedForm(task: NewTask): { brief: string; prompt: string } {
  const { prompt, ...brief } = task
  return { brief: JSON.stringify(brief), prompt }
}

/**
 * The current ticket of a task. Whoever comes first makes it, of whatever version: what a later version knows that its task needs stands in
 * the record, as `stored`, and no build makes a ticket for less. No task of this build needs it.
 */
export function ticketOf(task: Pick<Task, 'id' | 'ticket' | 'agent_id' | 'mode' | 'title' | 'route' | 'handle' | 'budget' | 'messages_waiting' | 'permissions' | 'asking' | 'answers_waiting' | 'workspace' | 'network'> & Partial<Asked>, stored?: string | null): Ticket {
  const { id, ticket, agent_id, mode, title, route, handle } = task
  // An older worker would start the agent in an empty workspace.
  // A worker that knows no checkpoints or no engines would find nothing to attach to and start over: the session would be lost. One that knows no discards would adopt what is to be ended.
  const own = task.workspace !== undefined ? MIN_WORKER.workspaces : needsInputs(task) ? MIN_WORKER.inputs : needsControls(task) ? MIN_WORKER.controls : handle?.discard === true ? MIN_WORKER.discards : handle?.checkpoint === true || route !== undefined ? MIN_WORKER.engines : MIN_WORKER.any
  // One that knows no networks would let the agent reach whatever it likes.
  const min_worker = Math.max(own, isPlain(task) ? 0 : MIN_WORKER.profiles, task.network === undefined ? 0 : MIN_WORKER.networks, Number(stored ?? 0))
  const profile = task.profile === undefined || task.profile === DEFAULT_PROFILE ? {} : { profile: task.profile }
  // As the take has it: what is only there to be ended leads to a new attempt, which waits for its turn.
  const isTakeover = handle !== undefined && handle.discard === undefined
  return { v: 1, task_id: id, n: ticket, agent_id, mode, title, ...(route === undefined ? {} : { engine_id: route }), ...profile, ...(isTakeover ? { takeover: true as const } : {}), min_worker }
}

/** What of a task says how it is to be run. */
type Asked = Pick<Task, 'profile' | Choice>

/** Older workers know one profile and no choices: they would run something else. */
function isPlain(task: Partial<Asked>): boolean {
  return (task.profile ?? DEFAULT_PROFILE) === DEFAULT_PROFILE && choicesOf(task) === undefined
}

/** An older worker would spend without a limit, tell the agent nothing, and say that it was lost instead of paused. */
function needsControls({ budget, messages_waiting: waiting = 0, handle }: Pick<Task, 'budget' | 'messages_waiting' | 'handle'>): boolean {
  return budget !== undefined || waiting > 0 || handle?.paused === true
}

/** An older worker would allow what the task must not do, refuse what a person is to answer, and never say the answer. */
function needsInputs({ permissions, asking = 0, answers_waiting: answers = 0 }: Pick<Task, 'permissions' | 'asking' | 'answers_waiting'>): boolean {
  return permissions !== undefined || asking > 0 || answers > 0
}

/** What `waitingFrom` reads, in the hash. */
export const TICKET_FIELDS = ['brief', 'route', 'handle', 'min_worker', 'mail', 'asking', 'answers'] as const

/** The ticket, as `ticketOf` has it, and how long it may wait, from `TICKET_FIELDS` alone: rounds over 100,000 tasks stay cheap. undefined: there is no record. */
export function waitingFrom(id: TaskId, n: number, [stored, route, handle, minWorker, mail, asking, answers]: readonly (string | null)[]): { ticket: Ticket; queueTtlMs: number; pausedTtlMs: number } | undefined {
  if (typeof stored !== 'string') return undefined
  const brief = JSON.parse(stored) as Pick<NewTask, 'agent_id' | 'mode' | 'title' | 'queue_ttl_ms' | 'paused_ttl_ms' | 'budget' | 'permissions' | 'workspace' | 'network' | keyof Asked>
  const { agent_id, title, queue_ttl_ms: queueTtlMs = Infinity, paused_ttl_ms: pausedTtlMs = DEFAULT_PAUSED_TTL_MS, budget, permissions, workspace, network, ...asked } = brief
  const mode = MODES.find((known) => known === brief.mode) ?? 'docker'
  const at = typeof handle === 'string' ? Handle.safeParse(JSON.parse(handle)).data : undefined
  return { ticket: ticketOf({ ...asked, id, ticket: n, agent_id, mode, title, route: route ?? undefined, handle: at, budget, permissions, workspace, network, messages_waiting: Number(mail ?? 0), asking: Number(asking ?? 0), answers_waiting: Number(answers ?? 0) }, minWorker), queueTtlMs, pausedTtlMs }
}
