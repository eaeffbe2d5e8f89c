import { randomBytes } from 'node:crypto'

import { ErrorBody, LongshoreError, MAX_PATH_BYTES, type Task } from '@longshore/contracts'
import { FILES_GREETING, FILES_NONCE, FILES_PROOF, type Heartbeat, isProof, proofOfAnswer, proofOfRequest } from '@longshore/queue'
import { z } from 'zod'

/** A path in a workspace, as a caller gives it. */
export const WorkspacePath = z.string().refine((path) => Buffer.byteLength(path) <= MAX_PATH_BYTES, `at most ${MAX_PATH_BYTES} bytes`)

export const ChangeKind = z.enum(['added', 'modified', 'deleted'])

const FileList = z.object({
  files: z.array(z.object({
    path: z.string(), inexact: z.literal(true).optional(), type: z.enum(['file', 'directory', 'symlink', 'other']), size: z.number().optional(), modified_at: z.number().optional(), change: ChangeKind.optional(),
  })),
  next_cursor: z.string().optional(),
  truncated: z.boolean(),
  changes_unknown: z.string().optional(),
})
type FileList = z.infer<typeof FileList>

const TaskDiff = z.object({
  patch: z.string(), truncated: z.boolean(), files_total: z.number(), files_shown: z.number(),
  files: z.array(z.object({ path: z.string(), change: z.enum([...ChangeKind.options, 'renamed']), previous_path: z.string().optional() })),
})
export type TaskDiff = z.infer<typeof TaskDiff>

const FileHeaders = z.object({ size: z.coerce.number().int(), modified: z.coerce.number().int(), head: z.string().regex(/^[0-9a-f]*$/) })
/** A piece of a file; `head`: the file's first bytes in hex. */
export interface FileSlice { bytes: Buffer; size: number; modifiedAt: number; head: string }

export type FilesTask = Pick<Task, 'id' | 'attempt' | 'handle' | 'output_parts' | 'kept'>

/** A negative `start` counts from the end. */
export interface OutputRange { start: number; end: number }
/** `total`: bytes of the whole output. `note`: what is missing of it. */
export interface OutputSlice { total: number; note?: string; content: AsyncIterable<Uint8Array> }

/** The files of a task, wherever a worker has them: while it runs, waits or is paused, and after its end. @throws LongshoreError */
export interface TaskFiles {
  list(task: FilesTask, query: { path: string; limit: number; cursor: string | undefined }, signal: AbortSignal): Promise<FileList>
  read(task: FilesTask, query: { path: string; offset: number; limit: number }, signal: AbortSignal): Promise<FileSlice>
  diff(task: FilesTask, query: { path: string | undefined; max_bytes: number }, signal: AbortSignal): Promise<TaskDiff>
  output(task: FilesTask, range: OutputRange, signal: AbortSignal): Promise<OutputSlice>
  /** The workspace as a tar archive. */
  archive(task: FilesTask, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>
}

/** How long a worker may take (ms): a little longer than it allows itself. */
export const FILES_PATIENCE_MS = 30_000
/** How long it may take to show that it is there. */
const GREETING_MS = 2_000
/** What one answer holds of names and patch, in JSON. */
const MAX_JSON_BYTES = 16 * 1024 * 1024

type Query = Record<string, string | number | undefined>

/**
 * Asks a live worker that has the task's storage, over HTTP (decision 7). Without a handle (between two attempts) it is not known which
 * storage that is: then each is asked.
 */
export function createTaskFiles({ workers, secret }: { workers: () => Promise<Heartbeat[]>; secret: () => Promise<string> }): TaskFiles {
  const ask = async <T>(task: FilesTask, what: string, query: Query, take: (response: Response) => Promise<T>, signal: AbortSignal): Promise<T> => {
    if (task.attempt === 0 && task.handle === undefined) throw notStarted()
    const doors = doorsOf(await workers(), task.handle?.storage_id ?? task.output_parts?.at(-1)?.storage_id)
    const asked = new URLSearchParams()
    for (const [name, value] of Object.entries(query)) if (value !== undefined) asked.set(name, String(value))
    const key = await secret()
    let last: LongshoreError = noWorker()
    for (const door of doors) {
      const greeting = await askDoor({ url: new URL(`${door}/${FILES_GREETING}`), secret: key, take: (response) => bodyOf(response, 0), signal, patienceMs: GREETING_MS })
      if (greeting instanceof LongshoreError) continue
      const answer = await askDoor({ url: new URL(`${door}/${task.id}/${what}${asked.size === 0 ? '' : `?${asked.toString()}`}`), secret: key, take, signal, patienceMs: FILES_PATIENCE_MS })
      if (!(answer instanceof LongshoreError)) return answer.taken
      last = answer
      if (!ELSEWHERE.has(answer.code)) throw answer
    }
    throw last
  }
  const json = async <T extends z.ZodType>(schema: T, task: FilesTask, what: string, query: Query, signal: AbortSignal): Promise<z.output<T>> =>
    ask(task, what, query, async (response) => schema.parse(JSON.parse((await bodyOf(response, MAX_JSON_BYTES)).toString('utf8'))), signal)
  return {
    list: (task, query, signal) => json(FileList, task, 'files', query, signal),
    diff: (task, query, signal) => json(TaskDiff, task, 'diff', query, signal),
    read: (task, query, signal) => ask(task, 'file', query, async (response) => {
      const { headers } = response
      const { size, modified, head } = FileHeaders.parse({ size: headers.get('x-longshore-size'), modified: headers.get('x-longshore-modified'), head: headers.get('x-longshore-head') })
      return { bytes: await bodyOf(response, query.limit), size, modifiedAt: modified, head }
    }, signal),
    output: async (task, range, signal) => {
      const { total, note, query } = liveOutput(task, range)
      const content = Number(query['start']) >= Number(query['end']) ? streamOf(new Response()) : await ask(task, 'output', query, (response) => Promise.resolve(streamOf(response)), signal)
      return { total, content, ...(note === undefined ? {} : { note }) }
    },
    archive: (task, signal) => ask(task, 'archive', {}, (response) => Promise.resolve(streamOf(response)), signal),
  }
}

const CUT: Readonly<Record<string, string>> = { quota: 'it is longer than is kept of one task (BLOB_TASK_BYTES)', disk: 'the disk took no more of it' }

/** How a worker is asked for what the ledger says that there is. */
function liveOutput({ attempt, output_parts: parts = [] }: FilesTask, { start, end }: OutputRange): Pick<OutputSlice, 'total' | 'note'> & { query: Query } {
  if (attempt === 0) throw notStarted()
  const total = parts.reduce((sum, { bytes }) => sum + bytes, 0)
  const here = parts.at(-1)?.storage_id
  const cut = parts.find((part) => part.cut !== undefined)?.cut
  const note = cut === undefined ? undefined : (CUT[cut] ?? cut)
  const query = { parts: parts.map(({ claim, bytes, storage_id: id }) => `${claim}.${bytes}.${id === here ? 1 : 0}`).join(','), start: start < 0 ? Math.max(0, total + start) : start, end: Math.min(end, total) }
  return { total, query, ...(note === undefined ? {} : { note }) }
}

async function* streamOf(response: Response): AsyncGenerator<Uint8Array> {
  for await (const part of response.body ?? []) yield part as Uint8Array
}

/** Refusals that another worker may not repeat. */
const ELSEWHERE = new Set<LongshoreError['code']>(['unavailable', 'not_started', 'internal'])

/** Those that are not about to leave come first. */
export function doorsOf(workers: readonly Heartbeat[], storageId: string | undefined): string[] {
  return workers
    .filter(({ storage_id }) => storage_id !== undefined && (storageId === undefined || storage_id === storageId))
    .toSorted((a, b) => Number(a.draining) - Number(b.draining))
    .flatMap(({ files_url }) => files_url ?? [])
}

interface Ask<T> { url: URL; secret: string; take: (response: Response) => Promise<T>; signal: AbortSignal; patienceMs: number }

/** A refusal, or a door that does not answer or is none of ours, is an answer, too. What `take` does not read while it is asked may take its time. */
async function askDoor<T>({ url, secret, take, signal, patienceMs }: Ask<T>): Promise<LongshoreError | { taken: T }> {
  const nonce = randomBytes(16).toString('hex')
  const patience = new AbortController()
  const timer = setTimeout(() => patience.abort(new Error(`no answer within ${patienceMs} ms`)), patienceMs)
  try {
    const response = await fetch(url, {
      headers: { [FILES_NONCE]: nonce, [FILES_PROOF]: proofOfRequest(secret, nonce, `${url.pathname}${url.search}`) },
      redirect: 'error', signal: AbortSignal.any([signal, patience.signal]),
    })
    if (!isProof(response.headers.get(FILES_PROOF), proofOfAnswer(secret, nonce))) {
      await response.body?.cancel()
      return noWorker()
    }
    return response.ok ? { taken: await take(response) } : refusalOf(await bodyOf(response, MAX_JSON_BYTES))
  } catch (error) {
    return noWorker(error)
  } finally {
    clearTimeout(timer)
  }
}

/** Never holds more than was asked for. */
async function bodyOf(response: Response, maxBytes: number): Promise<Buffer> {
  const parts: Uint8Array[] = []
  let bytes = 0
  for await (const part of response.body ?? []) {
    bytes += part.length
    if (bytes > maxBytes) throw new Error('the worker answers with more than it was asked for')
    parts.push(part)
  }
  return Buffer.concat(parts)
}

function refusalOf(bytes: Buffer): LongshoreError {
  const { code, message, next, field } = ErrorBody.parse(JSON.parse(bytes.toString('utf8'))).error
  return new LongshoreError(code, message, { ...(next === undefined ? {} : { next }), ...(field === undefined ? {} : { field }) })
}

function notStarted(): LongshoreError {
  return new LongshoreError('not_started', 'nothing of the task was started yet, so it has no files', { field: 'task_id', next: 'Ask again once get_task_status says that it runs.' })
}

function noWorker(cause?: unknown): LongshoreError {
  return new LongshoreError('unavailable', 'no worker that has the storage of the task answers now', {
    next: 'Try again in some seconds; if it stays, the operator should start a worker on that storage and see that gateways reach its WORKER_FILES_URL.', cause,
  })
}
