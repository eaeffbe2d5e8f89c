import { randomBytes } from 'node:crypto'

import { ErrorBody, LongshoreError, type Task } from '@longshore/contracts'
import { FILES_GREETING, FILES_NONCE, FILES_PROOF, type Heartbeat, isProof, proofOfAnswer, proofOfRequest } from '@longshore/queue'
import { z } from 'zod'

/** What a worker's system calls take. */
const MAX_PATH_BYTES = 4_096
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
type TaskDiff = z.infer<typeof TaskDiff>

const FileHeaders = z.object({ size: z.coerce.number().int(), modified: z.coerce.number().int(), head: z.string().regex(/^[0-9a-f]*$/) })
/** A piece of a file; `head`: the file's first bytes in hex. */
export interface FileSlice { bytes: Buffer; size: number; modifiedAt: number; head: string }

type FilesTask = Pick<Task, 'id' | 'attempt' | 'handle'>

/** The files of a task, wherever a worker has them: while it runs, waits or is paused, and after its end. @throws LongshoreError */
export interface TaskFiles {
  list(task: FilesTask, query: { path: string; limit: number; cursor: string | undefined }, signal: AbortSignal): Promise<FileList>
  read(task: FilesTask, query: { path: string; offset: number; limit: number }, signal: AbortSignal): Promise<FileSlice>
  diff(task: FilesTask, query: { path: string | undefined; max_bytes: number }, signal: AbortSignal): Promise<TaskDiff>
}

/** How long a worker may take (ms): a little longer than it allows itself. */
export const FILES_PATIENCE_MS = 30_000
/** How long it may take to show that it is there. */
const GREETING_MS = 2_000
/** What one answer holds of names and patch, in JSON. */
const MAX_JSON_BYTES = 16 * 1024 * 1024

/**
 * Asks a live worker that has the task's storage, over HTTP (decision 7). Without a handle (between two attempts) it is not known which
 * storage that is: then each is asked.
 */
export function createTaskFiles({ workers, secret }: { workers: () => Promise<Heartbeat[]>; secret: () => Promise<string> }): TaskFiles {
  const ask = async (task: FilesTask, what: string, query: Record<string, string | number | undefined>, maxBytes: number, signal: AbortSignal) => {
    if (task.attempt === 0 && task.handle === undefined) throw notStarted()
    const doors = doorsOf(await workers(), task.handle?.storage_id)
    const asked = new URLSearchParams()
    for (const [name, value] of Object.entries(query)) if (value !== undefined) asked.set(name, String(value))
    const key = await secret()
    let last: LongshoreError = noWorker()
    for (const door of doors) {
      const greeting = await askDoor({ url: new URL(`${door}/${FILES_GREETING}`), secret: key, maxBytes: 0, signal, patienceMs: GREETING_MS })
      if (greeting instanceof LongshoreError) continue
      const answer = await askDoor({ url: new URL(`${door}/${task.id}/${what}?${asked.toString()}`), secret: key, maxBytes, signal, patienceMs: FILES_PATIENCE_MS })
      if (!(answer instanceof LongshoreError)) return answer
      last = answer
      if (!ELSEWHERE.has(answer.code)) throw answer
    }
    throw last
  }
  const json = async <T extends z.ZodType>(schema: T, ...asked: [FilesTask, string, Record<string, string | number | undefined>, number, AbortSignal]): Promise<z.output<T>> =>
    schema.parse(JSON.parse((await ask(...asked)).bytes.toString('utf8')))
  return {
    list: (task, query, signal) => json(FileList, task, 'files', query, MAX_JSON_BYTES, signal),
    diff: (task, query, signal) => json(TaskDiff, task, 'diff', query, MAX_JSON_BYTES, signal),
    read: async (task, query, signal) => {
      const { bytes, headers } = await ask(task, 'file', query, query.limit, signal)
      const { size, modified, head } = FileHeaders.parse({ size: headers.get('x-longshore-size'), modified: headers.get('x-longshore-modified'), head: headers.get('x-longshore-head') })
      return { bytes, size, modifiedAt: modified, head }
    },
  }
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

interface Ask { url: URL; secret: string; maxBytes: number; signal: AbortSignal; patienceMs: number }

/** A refusal, or a door that does not answer or is none of ours, is an answer, too. */
async function askDoor({ url, secret, maxBytes, signal, patienceMs }: Ask): Promise<LongshoreError | { bytes: Buffer; headers: Headers }> {
  const nonce = randomBytes(16).toString('hex')
  try {
    const response = await fetch(url, {
      headers: { [FILES_NONCE]: nonce, [FILES_PROOF]: proofOfRequest(secret, nonce, `${url.pathname}${url.search}`) },
      redirect: 'error', signal: AbortSignal.any([signal, AbortSignal.timeout(patienceMs)]),
    })
    if (!isProof(response.headers.get(FILES_PROOF), proofOfAnswer(secret, nonce))) {
      await response.body?.cancel()
      return noWorker()
    }
    const bytes = await bodyOf(response, response.ok ? maxBytes : MAX_JSON_BYTES)
    return response.ok ? { bytes, headers: response.headers } : refusalOf(bytes)
  } catch (error) {
    return noWorker(error)
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
