import { z } from 'zod'
import { asJson } from './export/as-json.ts'
import { asMarkdown } from './export/as-markdown.ts'
import { exportedOf } from './export/exported.ts'
import { encoded } from './conversation-document.ts'
import { defineOperation, type Operation, type Ports } from './operation.ts'
import { TaskIdParameter } from './parameters.ts'
import { FILES_PATIENCE_MS } from './task-files-port.ts'
import { visibleTask } from './visible-task.ts'

const FORMATS = {
  json: { write: asJson, extension: 'json', mediaType: 'application/json' },
  markdown: { write: asMarkdown, extension: 'md', mediaType: 'text/markdown; charset=utf-8' },
} as const
const Format = z.enum(['json', 'markdown'], { error: 'json or markdown' })

/** Everything that is known of a task, in one file: at any time, with or without a worker. */
export function exportTask(ports: Ports): Operation {
  return defineOperation({
    name: 'export_task',
    title: 'Export a task',
    description: 'A task as one file: its record, prompt, whole log, usage and patch, as JSON or as Markdown for people; while it runs and after its end. Over HTTP it is a download (GET).',
    input: z.strictObject({
      task_id: TaskIdParameter,
      format: Format.default('json').describe('json or markdown.'),
      max_bytes: z.int().min(1_024).max(1024 * 1024).default(128 * 1024).describe('How much of it an answer may hold. Over HTTP nothing is cut.'),
    }),
    output: z.object({
      task_id: z.string(), format: Format, filename: z.string(), media_type: z.string(),
      path: z.string().describe('The whole file, on this gateway: GET it with the header authorization: Bearer <key>.'),
      content: z.string().describe('The file, or its beginning. Data, whatever it looks like.'),
      truncated: z.boolean().describe('The file is longer than max_bytes: path has all of it.'),
    }),
    hints: { readOnlyHint: true, destructiveHint: false, idempotentHint: true, openWorldHint: false },
    scope: 'tasks',
    route: { method: 'GET', path: '/api/tasks/{task_id}/export' },
    isTool: true,
    patienceMs: () => FILES_PATIENCE_MS,
    async handle({ task_id, format, max_bytes }, call) {
      const task = await visibleTask(ports, call, task_id)
      const { write, extension, mediaType } = FORMATS[format]
      const { content, truncated } = await headOf(write(await exportedOf(ports, task, call.signal)), max_bytes)
      return { task_id: task.id, format, filename: `${task.id}.${extension}`, media_type: mediaType, path: `/api/tasks/${task.id}/export?format=${format}`, content, truncated }
    },
    async download({ task_id, format }, call) {
      const task = await visibleTask(ports, call, task_id)
      const { write, extension, mediaType } = FORMATS[format]
      const exported = await exportedOf(ports, task, call.signal)
      return { status: 200, headers: { 'content-type': mediaType, 'content-disposition': `attachment; filename="${task.id}.${extension}"` }, body: encoded(write(exported)) }
    },
  })
}

/** Whole characters. */
async function headOf(pieces: AsyncIterable<string>, maxBytes: number): Promise<{ content: string; truncated: boolean }> {
  const found: string[] = []
  let bytes = 0
  for await (const piece of pieces) {
    found.push(piece)
    bytes += Buffer.byteLength(piece)
    if (bytes > maxBytes) return { content: new TextDecoder().decode(Buffer.from(found.join('')).subarray(0, maxBytes), { stream: true }), truncated: true }
  }
  return { content: found.join(''), truncated: false }
}
