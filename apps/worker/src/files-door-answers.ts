import type { ServerResponse } from 'node:http'
import { pipeline } from 'node:stream/promises'

import { diffWorkspace, listFiles, openTaskFile, type Storage, type Workspace, workspaceOf } from '@longshore/backends'
import { LongshoreError, TaskId } from '@longshore/contracts'
import { z } from 'zod'

/** One read, of who may. `target`: task, what of it, and the query. */
export interface Read { storage: Storage; target: string; response: ServerResponse; signal: AbortSignal }

const whole = (max: number) => z.coerce.number<string>().int().min(0).max(max)
const ListQuery = z.object({ path: z.string().optional(), limit: whole(10_000), cursor: z.string().optional() })
const FileQuery = z.object({ path: z.string(), offset: whole(Number.MAX_SAFE_INTEGER), limit: whole(16 * 1024 * 1024) })
const DiffQuery = z.object({ path: z.string().optional(), max_bytes: whole(16 * 1024 * 1024) })

type Answer = (workspace: Workspace, query: unknown, read: Read) => Promise<void>

const ANSWERS: Readonly<Record<string, Answer>> = {
  files: async (workspace, query, { response, signal }) => sendJson(response, await listFiles(workspace, parse(ListQuery, query), signal)),
  diff: async (workspace, query, { response, signal }) => {
    const { max_bytes: maxBytes, path } = parse(DiffQuery, query)
    sendJson(response, await diffWorkspace(workspace, { maxBytes, path }, signal))
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

/** Answers one read. @throws LongshoreError, GitCutShort */
export async function answerFiles(read: Read): Promise<void> {
  const url = new URL(read.target, 'http://worker')
  const [, task, what = ''] = url.pathname.split('/')
  const taskId = TaskId.safeParse(task)
  const answer = Object.hasOwn(ANSWERS, what) ? ANSWERS[what] : undefined
  if (!taskId.success || answer === undefined) throw new LongshoreError('unknown_operation', 'here are files, file and diff of a task')
  await answer(workspaceOf(read.storage, taskId.data), Object.fromEntries(url.searchParams), read)
}

function parse<T extends z.ZodType>(schema: T, query: unknown): z.output<T> {
  const parsed = schema.safeParse(query)
  if (!parsed.success) throw new LongshoreError('invalid_input', `${parsed.error.issues[0]?.path.join('.') ?? ''}: ${parsed.error.issues[0]?.message ?? ''}`)
  return parsed.data
}

function sendJson(response: ServerResponse, body: object): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}
