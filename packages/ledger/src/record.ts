import { MODES, type NewTask, Task, type TaskId, type Ticket } from '@longshore/contracts'

import type { TaskSummary } from './ledger.ts'

/** The least worker version that understands what this build stores. Raise it with a change that older workers would misread. */
export const MIN_WORKER = 1

// Numbers of the record, by their field in the hash; absent means 0 for the counters.
const COUNTERS = { claim: 'claim', attempt: 'attempt', seq: 'seq', ticket: 'ticket' } as const
const TIMES = ['created_at', 'started_at', 'ended_at', 'deadline_at'] as const
const Summary = Task.omit({ prompt: true })

/** The fields of the hash that a summary is made of. */
export const SUMMARY_FIELDS = [
  'brief', 'state', 'last', ...Object.values(COUNTERS), ...TIMES, 'handle', 'result', 'failure', 'cancel', 'worker', 'position', 'limit',
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
  const optional = { handle: json('handle'), result: json('result'), failure: json('failure'), cancel_requested: json('cancel'),
    worker: fields['worker'], position: fields['position'], limit: fields['limit'] }
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

/** The immutable part as it is stored: what rounds and lists need in `brief`, the long prompt beside it. */
export function storedForm(task: NewTask): { brief: string; prompt: string } {
  const { prompt, ...brief } = task
  return { brief: JSON.stringify(brief), prompt }
}

/** The current ticket of a task. */
export function ticketOf(task: Pick<Task, 'id' | 'ticket' | 'agent_id' | 'mode' | 'title'>): Ticket {
  return { v: 1, task_id: task.id, n: task.ticket, agent_id: task.agent_id, mode: task.mode, title: task.title, min_worker: MIN_WORKER }
}

/** The same from the stored fields, without parsing a whole record: rounds over 100,000 tasks stay cheap. */
export function ticketFrom(id: TaskId, brief: string, n: number): Ticket {
  const { agent_id, mode, title } = JSON.parse(brief) as Pick<NewTask, 'agent_id' | 'mode' | 'title'>
  return ticketOf({ id, ticket: n, agent_id, mode: MODES.find((known) => known === mode) ?? 'docker', title })
}
