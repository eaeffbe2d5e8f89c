import { z } from 'zod'
import { mediaTypeOf, toContent } from './file-content.ts'
import { defineOperation, type Operation, type Ports } from './operation.ts'
import { TaskIdParameter, Timestamp, toTimestamp } from './parameters.ts'
import { FILES_PATIENCE_MS, WorkspacePath } from './task-files-port.ts'
import { visibleTask } from './visible-task.ts'

const DEFAULT_BYTES = 64 * 1024
/** The longest character of UTF-8: any slice gets on. */
const MIN_BYTES = 4

/** A slice of a file, in every mode (G13). Nothing larger than a slice is ever held. */
export function readTaskFile(ports: Ports): Operation {
  return defineOperation({
    name: 'read_task_file',
    title: 'Read a file of a task',
    description: 'A file of a task\'s workspace, or a part of it, as text or base64; while it runs, waits, is paused, and after its end. Links are not followed.',
    input: z.strictObject({
      task_id: TaskIdParameter,
      file_path: WorkspacePath.describe('Relative to the workspace, as get_task_files lists it.'),
      offset: z.int().min(0).default(0).describe('Where to begin, in bytes: next_offset of an earlier answer.'),
      limit: z.int().min(MIN_BYTES).default(DEFAULT_BYTES).describe('How many bytes at most. One answer holds no more than the deployment\'s MAX_TASK_FILE_SIZE; go on with next_offset.'),
      encoding: z.enum(['auto', 'text', 'base64']).default('auto').describe('auto: text where it is UTF-8, else base64. text: what is not UTF-8 becomes U+FFFD.'),
    }),
    output: z.object({
      task_id: z.string(),
      file_path: z.string(),
      content: z.string(),
      encoding: z.enum(['text', 'base64']),
      lossy: z.boolean().optional().describe('True when something was not UTF-8 and was replaced.'),
      media_type: z.string().describe('From its first bytes; text is text/plain.'),
      size: z.int().describe('Bytes of the whole file.'),
      modified_at: Timestamp,
      offset: z.int(),
      bytes: z.int().describe('Bytes of the file that content stands for.'),
      has_more: z.boolean(),
      next_offset: z.int().optional().describe('Where the next slice begins.'),
    }),
    hints: { readOnlyHint: true, destructiveHint: false, idempotentHint: true, openWorldHint: false },
    scope: 'tasks',
    route: { method: 'GET', path: '/api/tasks/{task_id}/file' },
    isTool: true,
    patienceMs: () => FILES_PATIENCE_MS,
    async handle({ task_id, file_path, offset, limit, encoding }, call) {
      const task = await visibleTask(ports, call, task_id)
      const slice = await ports.files.read(task, { path: file_path, offset, limit: Math.min(limit, ports.limits.maxFileBytes) }, call.signal)
      const isLast = offset + slice.bytes.length >= slice.size
      const { lossy, ...content } = toContent(slice.bytes, encoding, isLast)
      const next = offset + content.bytes
      const hasMore = content.bytes > 0 && next < slice.size
      return {
        task_id: task.id, file_path, ...content, ...(lossy ? { lossy } : {}), media_type: mediaTypeOf(slice.head, content.encoding),
        size: slice.size, modified_at: toTimestamp(slice.modifiedAt), offset, has_more: hasMore, ...(hasMore ? { next_offset: next } : {}),
      }
    },
  })
}
