import { type Control, ErrorBody, Mode, TaskState, UsageLine, type WorkspaceRequest } from '@longshore/contracts'
import { z } from 'zod'
import { Complaint } from './command.ts'

/** What the commands read of a task; the whole answer stands in `--json`. */
export const TaskAnswer = z.looseObject({
  task_id: z.string(), status: TaskState, title: z.string(), agent_id: z.string(), mode: Mode, attempt: z.int(), created_at: z.string(), completed_at: z.string().optional(),
  undelivered_messages: z.array(z.string()).optional(), messages_waiting: z.int().optional(),
  inputs: z.array(z.looseObject({ input_id: z.string(), kind: z.string(), question: z.string(), choices: z.array(z.string()), free_text: z.boolean(), expires_at: z.string().optional() })).optional(),
  sent_files: z.array(z.object({ path: z.string(), size: z.int() })).optional(),
  timeout_ms: z.int().optional(), queue_ttl_ms: z.int().optional(),
  worker: z.string().optional(), duration_ms: z.int().optional(), output: z.string().optional(), files_changed: z.int().optional(),
  git: z.looseObject({ commit: z.string(), branch: z.string().optional(), push_error: z.string().optional() }).optional(),
  error: z.string().optional(), error_code: z.string().optional(), limit: z.string().optional(), message: z.string().optional(),
})
export type TaskAnswer = z.infer<typeof TaskAnswer>

export const EventAnswer = z.looseObject({ seq: z.int(), timestamp: z.string(), type: z.string(), message: z.string(), data: z.unknown() })
export type EventAnswer = z.infer<typeof EventAnswer>

const HistoryAnswer = z.looseObject({
  status: TaskState, events: z.array(EventAnswer), has_more_events: z.boolean(), next_cursor: z.string(), cursor_reset: z.object({ earliest_seq: z.int() }).optional(),
})
type HistoryAnswer = z.infer<typeof HistoryAnswer>

const HealthAnswer = z.looseObject({
  status: z.string(), version: z.string().optional(), metrics: z.looseObject({ active_tasks: z.int(), queued_tasks: z.int() }),
  modes: z.array(z.looseObject({ mode: z.string(), isolation: z.string(), workers: z.int(), slots: z.int(), reason: z.string().optional() })),
})
type HealthAnswer = z.infer<typeof HealthAnswer>

const UsageAnswer = z.looseObject({ lines: z.array(UsageLine), total: UsageLine.omit({ day: true, agent_id: true, profile: true, mode: true }) })
export type UsageAnswer = z.infer<typeof UsageAnswer>

const RolloutAnswer = z.looseObject({ opencode_percent: z.number(), updated_by: z.string() })
export type RolloutAnswer = z.infer<typeof RolloutAnswer>

const WorkerAnswer = z.looseObject({
  name: z.string(), host: z.string(), version: z.string(), started_at: z.string(), slots: z.int(), running: z.int(), draining: z.boolean(),
  modes: z.array(z.looseObject({ mode: z.string(), available: z.boolean(), reason: z.string().optional(), engine_id: z.string().optional() })),
})
export type WorkerAnswer = z.infer<typeof WorkerAnswer>

const DrainAnswer = z.looseObject({ name: z.string(), draining: z.boolean(), running: z.int(), message: z.string() })
const ReplayAnswer = z.looseObject({ ...TaskAnswer.shape, replayed_task_id: z.string() })

const DeadNotices = z.looseObject({
  total: z.int(), notices: z.array(z.looseObject({ notice_id: z.string(), sink: z.string(), lane: z.string(), kind: z.string(), died_at: z.string(), reason: z.string() })),
})
const NoticesReplayed = z.looseObject({ replayed: z.int(), message: z.string() })

interface SubmitInput { task_description: string; agent_id?: string; mode?: string; network?: string; profile?: string; model?: string; image?: string; cpu?: number; memory_mb?: number; env?: string[]; max_attempts?: number; timeout_ms?: number; queue_ttl_ms?: number; permissions?: unknown; callback_url?: string; sync?: boolean; idempotency_key?: string; workspace?: z.input<typeof WorkspaceRequest> }

/** The gateway's HTTP API, as far as the commands use it. Every method throws Complaint with what the gateway said. */
export interface GatewayClient {
  submit(input: SubmitInput): Promise<TaskAnswer>
  status(taskId: string): Promise<TaskAnswer>
  /** Events after a cursor; without one, from the first. */
  history(taskId: string, cursor: string | undefined): Promise<HistoryAnswer>
  list(limit: number): Promise<TaskAnswer[]>
  control(taskId: string, control: Control, reason: string | undefined): Promise<{ status: TaskState; message: string }>
  tell(taskId: string, message: { message: string; message_type?: string }): Promise<{ message_id: string; message: string }>
  answer(taskId: string, answer: { input_id?: string; answer: string | string[]; message?: string }): Promise<{ input_id: string; message: string }>
  health(): Promise<HealthAnswer>
  usage(days: { from?: string; to?: string }): Promise<UsageAnswer>
  rollout(): Promise<RolloutAnswer>
  setRollout(percent: number): Promise<RolloutAnswer>
  workers(): Promise<WorkerAnswer[]>
  drain(worker: string, isUndo: boolean): Promise<z.infer<typeof DrainAnswer>>
  poisoned(limit: number, offset: number): Promise<TaskAnswer[]>
  replay(taskId: string): Promise<z.infer<typeof ReplayAnswer>>
  deadNotices(limit: number, offset: number): Promise<z.infer<typeof DeadNotices>>
  /** @param which an id, or `all` */
  replayNotices(which: string): Promise<z.infer<typeof NoticesReplayed>>
  /** Bytes, in pieces. Throws also when they end too early. */
  download(taskId: string, what: 'output' | 'archive'): AsyncIterable<Uint8Array>
}

/** The gateway is not there at all, as opposed to one that refuses. */
export class GatewayAway extends Complaint {}

/** Longer than a bounded `sync` wait may take (SYNC_WAIT_MS is at most ten minutes). */
const ANSWER_MS = 11 * 60_000
const EVENTS_PER_PAGE = 200

/** @param url without a slash at its end: `http://127.0.0.1:3456` */
export function createGatewayClient(url: string, key: string): GatewayClient {
  const call = async <S extends z.ZodType>(answer: S, method: string, path: string, body?: object): Promise<z.infer<S>> => {
    const reply = await send(url, key, method, path, body)
    const parsed = answer.safeParse(reply)
    if (!parsed.success) throw new Complaint(`${url}${path} answered something that is not Longshore's: is another program on this port?`)
    return parsed.data
  }
  const task = (taskId: string) => `/api/tasks/${encodeURIComponent(taskId)}`
  return {
    submit: (input) => call(TaskAnswer, 'POST', '/api/tasks', input),
    status: (taskId) => call(TaskAnswer, 'GET', task(taskId)),
    history: (taskId, cursor) => call(HistoryAnswer, 'GET', `${task(taskId)}/history?events_limit=${EVENTS_PER_PAGE}${cursor === undefined ? '' : `&cursor=${encodeURIComponent(cursor)}`}`),
    list: async (limit) => (await call(z.object({ tasks: z.array(TaskAnswer) }), 'GET', `/api/tasks?limit=${limit}`)).tasks,
    control: (taskId, control, reason) => call(z.looseObject({ status: TaskState, message: z.string() }), 'POST', `${task(taskId)}/control`, { control, ...(reason === undefined ? {} : { reason }) }),
    tell: (taskId, message) => call(z.looseObject({ message_id: z.string(), message: z.string() }), 'POST', `${task(taskId)}/messages`, message),
    answer: (taskId, answer) => call(z.looseObject({ input_id: z.string(), message: z.string() }), 'POST', `${task(taskId)}/inputs`, answer),
    usage: (days) => call(UsageAnswer, 'GET', `/api/usage?${new URLSearchParams(days).toString()}`),
    health: () => call(HealthAnswer, 'GET', '/api/health'),
    rollout: () => call(RolloutAnswer, 'GET', '/api/rollout'),
    workers: async () => (await call(z.object({ workers: z.array(WorkerAnswer) }), 'GET', '/api/workers')).workers,
    drain: (worker, isUndo) => call(DrainAnswer, 'POST', `/api/workers/${encodeURIComponent(worker)}/drain`, { undo: isUndo }),
    poisoned: async (limit, offset) => (await call(z.object({ tasks: z.array(TaskAnswer) }), 'GET', `/api/poisoned-tasks?limit=${limit}&offset=${offset}`)).tasks,
    download: async function* (taskId, what) {
      const { body } = await request(url, key, 'GET', `${task(taskId)}/${what}`, undefined)
      for await (const piece of body ?? []) yield piece as Uint8Array
    },
    replay: (taskId) => call(ReplayAnswer, 'POST', `${task(taskId)}/replay`),
    deadNotices: (limit, offset) => call(DeadNotices, 'GET', `/api/dead-notices?limit=${limit}&offset=${offset}`),
    replayNotices: (which) => call(NoticesReplayed, 'POST', '/api/dead-notices/replay', { notice_id: which }),
    setRollout: (percent) => call(RolloutAnswer, 'PUT', '/api/rollout', { opencode_percent: percent }),
  }
}

async function send(url: string, key: string, method: string, path: string, body: object | undefined): Promise<unknown> {
  return parseJson(await (await request(url, key, method, path, body)).text())
}

async function request(url: string, key: string, method: string, path: string, body: object | undefined): Promise<Response> {
  let response: Response
  try {
    response = await fetch(`${url}${path}`, {
      method, signal: AbortSignal.timeout(ANSWER_MS),
      headers: { authorization: `Bearer ${key}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
  } catch (error) {
    throw new GatewayAway(`No gateway answers at ${url}. Start Longshore with "npm start", or say where it is: --url URL, or MCP_HOST and MCP_PORT.`, { cause: error })
  }
  if (response.ok) return response
  const refusal = ErrorBody.safeParse(parseJson(await response.text()))
  if (!refusal.success) throw new Complaint(`${url}${path} answered with status ${response.status}: is another program on this port?`)
  const { code, message, next } = refusal.data.error
  const advice = code === 'unauthorized' ? 'The keys of the running stack are in LONGSHORE_HOME/keys.' : next
  throw new Complaint(`${message} (${code}).${advice === undefined ? '' : ` ${advice}`}`)
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
