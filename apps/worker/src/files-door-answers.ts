import type { ServerResponse } from 'node:http'
import { pipeline } from 'node:stream/promises'

import { archiveWorkspace, diffWorkspace, listFiles, openTaskFile, readOutput, type Storage, type Workspace, workspaceOf } from '@longshore/backends'
import { LongshoreError, type OutputPart, TaskId } from '@longshore/contracts'
import { z } from 'zod'

type What = 'files' | 'diff' | 'file' | 'output' | 'archive'
/** Task, what of it, and the query, which is not checked yet. */
export interface Asked { taskId: TaskId; what: What; query: unknown }
/** One read, of who may. */
export interface Read { storage: Storage; asked: Asked; response: ServerResponse; signal: AbortSignal }

const whole = (max: number) => z.coerce.number<string>().int().min(0).max(max)
const ListQuery = z.object({ path: z.string().optional(), limit: whole(10_000), cursor: z.string().optional() })
const FileQuery = z.object({ path: z.string(), offset: whole(Number.MAX_SAFE_INTEGER), limit: whole(16 * 1024 * 1024) })
/** The parts of an output as the ledger names them: claim and bytes of each, and whether it lies here. */
const OutputQuery = z.object({ parts: z.string().regex(/^(\d+\.\d+\.[01](,|$))*$/), start: whole(Number.MAX_SAFE_INTEGER), end: whole(Number.MAX_SAFE_INTEGER) })
const DiffQuery = z.object({ path: z.string().optional(), max_bytes: whole(16 * 1024 * 1024) })

type Answer = (workspace: Workspace, query: unknown, read: Read) => Promise<void>

const ANSWERS: Readonly<Record<What, Answer>> = {
  files: async (workspace, query, { response, signal }) => sendJson(response, await listFiles(workspace, parse(ListQuery, query), signal)),
  diff: async (workspace, query, { response, signal }) => {
    const { max_bytes: maxBytes, path } = parse(DiffQuery, query)
    sendJson(response, await diffWorkspace(workspace, { maxBytes, path }, signal))
  },
  output: async (workspace, query, { storage, response, signal }) => {
    const { parts, start, end } = parse(OutputQuery, query)
    response.writeHead(200, BYTES)
    await pipeline(readOutput(workspace, parts.split(',').filter((part) => part !== '').map((part) => partOf(part, storage.id)), storage.id, { start, end }), response, { signal })
  },
  archive: async (workspace, _, { asked, response, signal }) => {
    // A workspace that is not there is refused before an answer is begun.
    await listFiles(workspace, { limit: 1 }, signal)
    response.writeHead(200, BYTES)
    await pipeline(archiveWorkspace(workspace, { prefix: asked.taskId, signal }), response, { signal })
  },
  file: async (workspace, query, { response, signal }) => {
    const { path, offset, limit } = parse(FileQuery, query)
    const { handle, size, modifiedAt, head } = await openTaskFile(workspace, path)
    try {
      response.writeHead(200, { 'content-type': 'application/octet-stream', 'x-longshore-size': size, 'x-longshore-modified': modifiedAt, 'x-longshore-head': head.toString('hex') })
      if (offset >= size || limit === 0) return void response.end()
      // Bytes go through in pieces: nothing here grows with the file.
      await pipeline(handle.createReadStream({ start: offset, end: offset + limit - 1, autoClose: false }), response, { signal })
    } finally {
      await handle.close()
    }
  },
}

const BYTES = { 'content-type': 'application/octet-stream' }

function partOf(text: string, here: string): OutputPart {
  const [claim, bytes, isHere] = text.split('.').map(Number)
  return { claim: claim ?? 0, bytes: bytes ?? 0, attempt: 0, storage_id: isHere === 1 ? here : '' }
}

/** @throws LongshoreError unknown_operation */
export function parseTarget(target: string): Asked {
  const url = new URL(target, 'http://worker')
  const [, task, what = ''] = url.pathname.split('/')
  const taskId = TaskId.safeParse(task)
  if (!taskId.success || !isWhat(what)) throw new LongshoreError('unknown_operation', 'here are files, file, diff, output and archive of a task')
  return { taskId: taskId.data, what, query: Object.fromEntries(url.searchParams) }
}

function isWhat(text: string): text is What {
  return Object.hasOwn(ANSWERS, text)
}

/** Answers one read. @throws LongshoreError, GitCutShort */
export async function answerFiles(read: Read): Promise<void> {
  const { taskId, what, query } = read.asked
  await ANSWERS[what](workspaceOf(read.storage, taskId), query, read)
}

function parse<T extends z.ZodType>(schema: T, query: unknown): z.output<T> {
  const parsed = schema.safeParse(query)
  if (!parsed.success) throw new LongshoreError('invalid_input', `${parsed.error.issues[0]?.path.join('.') ?? ''}: ${parsed.error.issues[0]?.message ?? ''}`)
  return parsed.data
}

function sendJson(response: ServerResponse, body: object): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}
