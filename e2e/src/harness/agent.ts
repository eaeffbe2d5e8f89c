import { type Control, END_STATES, isOver, MODES, TASK_STATES, type TaskState } from '@longshore/contracts'
import { waitFor } from '@longshore/testkit'
import { z } from 'zod'

export const TaskAnswer = z.looseObject({
  task_id: z.string(), status: z.enum(TASK_STATES), mode: z.enum(MODES), attempt: z.int(), agent_id: z.string(),
  output: z.string().optional(), error: z.string().optional(), error_code: z.string().optional(), worker: z.string().optional(),
  limit: z.string().optional(), inputs: z.array(z.object({ input_id: z.string(), kind: z.string(), question: z.string(), choices: z.array(z.string()) })).optional(), files_changed: z.int().optional(), duration_ms: z.int().optional(), started_at: z.string().optional(),
})
export type TaskAnswer = z.infer<typeof TaskAnswer>
export const SubmitAnswer = TaskAnswer.extend({ is_new: z.boolean() })
export type SubmitAnswer = z.infer<typeof SubmitAnswer>

const ControlAnswer = z.object({ status: z.enum(TASK_STATES), outcome: z.string() })
type ControlAnswer = z.infer<typeof ControlAnswer>
const Event = z.object({ seq: z.int(), id: z.string(), timestamp: z.string(), type: z.string(), message: z.string(), data: z.looseObject({}) })
export type HistoryEvent = z.infer<typeof Event>
export const HistoryAnswer = z.looseObject({ events: z.array(Event), events_total: z.int() })

/** A refusal of the HTTP door, as a test looks at it. */
export interface Refused { status: number; code: string; message: string; next?: string | undefined }

/** What a program with one API key does over the HTTP API. Each call goes to the next gateway. */
export interface Agent {
  fetch(path: string, init?: { method?: string; body?: object; headers?: Record<string, string> }): Promise<Response>
  submit(task_description: string, more?: Record<string, unknown>): Promise<SubmitAnswer>
  status(taskId: string): Promise<TaskAnswer>
  events(taskId: string): Promise<HistoryEvent[]>
  cancel(taskId: string, reason?: string): Promise<ControlAnswer>
  control(taskId: string, control: 'pause' | 'resume', reason?: string): Promise<ControlAnswer>
  /** @returns the message's id */
  tell(taskId: string, message: string): Promise<string>
  /** Answers the one question that is open, or decides about the one permission. */
  answer(taskId: string, answer: string, message?: string): Promise<TaskAnswer['status']>
  /** A file of its workspace, as text. */
  read(taskId: string, path: string): Promise<string>
  /** What it changed, as a patch. */
  diff(taskId: string): Promise<string>
  /** Waits until the task is in one of these states. @throws Error when it is over in another, or after `timeoutMs` */
  until(taskId: string, states: readonly TaskState[], timeoutMs?: number): Promise<TaskAnswer>
  untilCompleted(taskId: string): Promise<TaskAnswer>
  untilOver(taskId: string): Promise<TaskAnswer>
}

/** A task takes some 5 s; on a machine that is busy with other suites it was seen to take 60. */
export const PATIENCE_MS = 120_000

/** Refusals are thrown as `RefusedError`. */
export function createAgent(nextUrl: () => string, key: string): Agent {
  const ask: Agent['fetch'] = (path, { method = 'GET', body, headers = {} } = {}) => fetch(nextUrl() + path, {
    method, headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', ...headers }, ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const call = async <T>(schema: z.ZodType<T>, path: string, init?: Parameters<Agent['fetch']>[1]): Promise<T> => {
    const response = await ask(path, init)
    if (!response.ok) throw new RefusedError(response.status, await response.text())
    return schema.parse(await response.json())
  }
  const status: Agent['status'] = (id) => call(TaskAnswer, `/api/tasks/${id}`)
  const until: Agent['until'] = async (id, states, timeoutMs = PATIENCE_MS) => {
    let last: TaskAnswer | undefined
    const isThere = async (): Promise<boolean> => {
      last = await status(id)
      return states.includes(last.status) || isOver(last.status)
    }
    await waitFor(isThere, { what: id, timeoutMs, everyMs: 100 }).catch(() => undefined)
    if (last === undefined || !states.includes(last.status)) throw new Error(`${id} was to be ${states.join(' or ')} within ${timeoutMs} ms and is ${JSON.stringify(last)}`)
    return last
  }
  const control = (id: string, what: Control, reason?: string): Promise<ControlAnswer> =>
    call(ControlAnswer, `/api/tasks/${id}/control`, { method: 'POST', body: { control: what, ...(reason === undefined ? {} : { reason }) } })
  return {
    fetch: ask, status, until,
    submit: (task_description, more = {}) => call(SubmitAnswer, '/api/tasks', { method: 'POST', body: { task_description, ...more } }),
    answer: async (id, answer, message) => (await call(z.looseObject({ status: z.enum(TASK_STATES) }), `/api/tasks/${id}/inputs`, { method: 'POST', body: { answer, ...(message === undefined ? {} : { message }) } })).status,
    read: async (id, path) => (await call(z.looseObject({ content: z.string() }), `/api/tasks/${id}/file?file_path=${encodeURIComponent(path)}`)).content,
    diff: async (id) => (await call(z.looseObject({ patch: z.string() }), `/api/tasks/${id}/diff`)).patch,
    events: async (id) => (await call(HistoryAnswer, `/api/tasks/${id}/history?events_limit=-1`)).events,
    cancel: (id, reason) => control(id, 'cancel', reason),
    control,
    tell: async (id, message) => (await call(z.looseObject({ message_id: z.string() }), `/api/tasks/${id}/messages`, { method: 'POST', body: { message } })).message_id,
    untilCompleted: (id) => until(id, ['completed']),
    untilOver: (id) => until(id, END_STATES),
  }
}

const Body = z.object({ error: z.object({ code: z.string(), message: z.string(), next: z.string().optional() }) })

export class RefusedError extends Error {
  override readonly name = 'RefusedError'
  readonly refused: Refused

  constructor(status: number, text: string) {
    const { error } = Body.parse(JSON.parse(text))
    super(`${status} ${error.code}: ${error.message}`)
    this.refused = { status, ...error }
  }
}

/** What a call was refused with. @throws when it was not */
export async function refusal(call: Promise<unknown>): Promise<Refused> {
  const thrown = await call.then((value) => new Error(`not refused: ${JSON.stringify(value)}`), (error: unknown) => error)
  if (thrown instanceof RefusedError) return thrown.refused
  throw thrown
}

/** The log's shape that every ended task owes (G3, G5): gap-free from 1, begins with the submit, one ending and that last. */
export function expectWholeLog(events: readonly HistoryEvent[]): void {
  const ends = events.filter(({ type }) => END_STATES.some((end) => type === `task.${end}`))
  const faults = [
    ...events.flatMap(({ seq }, index) => (seq === index + 1 ? [] : [`seq ${seq} at place ${index + 1}`])),
    ...(new Set(events.map(({ id }) => id)).size === events.length ? [] : ['an event id twice']),
    ...(events[0]?.type === 'task.queued' ? [] : [`begins with ${events[0]?.type}`]),
    ...(ends.length === 1 ? [] : [`${ends.length} endings`]),
    ...(events.at(-1) === ends[0] ? [] : [`ends with ${events.at(-1)?.type}`]),
  ]
  if (faults.length > 0) throw new Error(`the log is not whole: ${faults.join(', ')}\n${events.map(({ seq, type, message }) => `${seq} ${type} ${message}`).join('\n')}`)
}
