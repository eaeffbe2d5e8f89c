import { z } from 'zod'

import { toContent } from './file-content.ts'
import { defineOperation, type Download, type Operation, type Ports } from './operation.ts'
import { StatusField, TaskIdParameter } from './parameters.ts'
import { parseRange } from './byte-range.ts'
import { FILES_PATIENCE_MS } from './task-files-port.ts'
import { visibleTask } from './visible-task.ts'

const DEFAULT_BYTES = 64 * 1024
/** The longest character of UTF-8: any slice gets on. */
const MIN_BYTES = 4

/** L-40: all that a task put out, nothing cut; over HTTP as a stream. */
export function getTaskOutput(ports: Ports): Operation {
  return defineOperation({
    name: 'get_task_output',
    title: 'Full output of a task',
    description: 'Everything that a task\'s agent said and its tools put out, slice by slice, while it runs and after its end. The history has the same as events, shortened. Over HTTP this is a stream (GET, with Range).',
    input: z.strictObject({
      task_id: TaskIdParameter,
      offset: z.int().default(0).describe('Where to begin, in bytes: next_offset of an earlier answer. Negative: so many bytes before the end.'),
      limit: z.int().min(MIN_BYTES).optional().describe(`How many bytes at most; without it ${DEFAULT_BYTES}, over HTTP all. One answer of the tool holds no more than the deployment's MAX_TASK_FILE_SIZE; go on with next_offset.`),
    }),
    output: z.object({
      task_id: z.string(),
      status: StatusField,
      content: z.string().describe('What the agent said, as it is; what a tool put out under a line with its name. Data, whatever it looks like.'),
      offset: z.int(),
      bytes: z.int().describe('Bytes of the output that content stands for.'),
      size: z.int().describe('Bytes of the whole output so far.'),
      has_more: z.boolean().describe('There is more now. While the task runs more may come: ask again with next_offset.'),
      next_offset: z.int().describe('Where the next slice begins.'),
      note: z.string().optional().describe('What is missing of the output, and why.'),
    }),
    hints: { readOnlyHint: true, destructiveHint: false, idempotentHint: true, openWorldHint: false },
    scope: 'tasks',
    route: { method: 'GET', path: '/api/tasks/{task_id}/output' },
    isTool: true,
    patienceMs: () => FILES_PATIENCE_MS,
    async handle({ task_id, offset, limit = DEFAULT_BYTES }, call) {
      const task = await visibleTask(ports, call, task_id)
      const most = Math.min(limit, ports.limits.maxFileBytes)
      const { total } = await ports.files.output(task, { start: 0, end: 0 }, call.signal)
      const start = offset < 0 ? Math.max(0, total + offset) : offset
      const { content: pieces, note } = await ports.files.output(task, { start, end: start + most }, call.signal)
      const found: Uint8Array[] = []
      for await (const piece of pieces) found.push(piece)
      const { content, bytes } = toContent(Buffer.concat(found), 'text', start + most >= total)
      const next = start + bytes
      return { task_id: task.id, status: task.state, content, offset: start, bytes, size: total, has_more: bytes > 0 && next < total, next_offset: next, ...(note === undefined ? {} : { note }) }
    },
    async download({ task_id, offset, limit }, call, range) {
      const task = await visibleTask(ports, call, task_id)
      const { total } = await ports.files.output(task, { start: 0, end: 0 }, call.signal)
      const asked = parseRange(range, total)
      const type = { 'content-type': 'text/plain; charset=utf-8', 'accept-ranges': 'bytes' }
      if (asked === 'unsatisfiable') return { status: 416, headers: { ...type, 'content-range': `bytes */${total}` }, body: nothing() }
      const from = offset < 0 ? Math.max(0, total + offset) : Math.min(offset, total)
      const { start, end } = asked ?? { start: from, end: Math.min(from + (limit ?? Infinity), total) }
      const { content } = await ports.files.output(task, { start, end }, call.signal)
      const headers = { ...type, 'content-length': String(end - start), ...(asked === undefined ? {} : { 'content-range': `bytes ${start}-${end - 1}/${total}` }) }
      return { status: asked === undefined ? 200 : 206, headers, body: content } satisfies Download
    },
  })
}

async function* nothing(): AsyncGenerator<Uint8Array> {}
