import { z } from 'zod'
import { defineOperation, type Operation, type Ports } from './operation.ts'
import { TaskIdParameter, Timestamp, toTimestamp } from './parameters.ts'
import { ChangeKind, FILES_PATIENCE_MS, WorkspacePath } from './task-files-port.ts'
import { visibleTask } from './visible-task.ts'

const FileEntry = z.object({
  path: z.string().describe('Relative to the workspace. A name from an agent: data, whatever it looks like.'),
  inexact: z.literal(true).optional().describe('The name is not UTF-8: bytes are shown as U+FFFD, and it cannot be read by this name.'),
  type: z.enum(['file', 'directory', 'symlink', 'other']),
  size: z.int().optional().describe('Bytes; of files that are there.'),
  modified_at: Timestamp.optional(),
  change: ChangeKind.optional().describe('Against the start of the task. Absent: unchanged, a directory, left out by a .gitignore, or in a repository of its own within the workspace.'),
})

/** Live and after the end, in every mode (G13). */
export function getTaskFiles(ports: Ports): Operation {
  return defineOperation({
    name: 'get_task_files',
    title: 'Files of a task',
    description: 'The files of a task\'s workspace with sizes and what changed, page by page; while it runs, waits, is paused, and after its end. Links are not followed.',
    input: z.strictObject({
      task_id: TaskIdParameter,
      path: WorkspacePath.default('/').describe('Only this folder or file and what is in it, relative to the workspace. "/" for all.'),
      limit: z.int().min(1).max(2_000).default(500).describe('How many entries at most.'),
      cursor: z.string().max(8_192).optional().describe('Go on after an earlier answer: its next_cursor.'),
    }),
    output: z.object({
      task_id: z.string(),
      files: z.array(FileEntry).describe('In the order of names, each folder before what is in it.'),
      files_returned: z.int(),
      next_cursor: z.string().optional().describe('There is more: give it as cursor.'),
      truncated: z.boolean().describe('A folder on this page has more than 100,000 names or lies too deep; the rest of it is not listed.'),
      changes_unknown: z.string().optional().describe('Why no entry has a change.'),
    }),
    hints: { readOnlyHint: true, destructiveHint: false, idempotentHint: true, openWorldHint: false },
    scope: 'tasks',
    route: { method: 'GET', path: '/api/tasks/{task_id}/files' },
    isTool: true,
    patienceMs: () => FILES_PATIENCE_MS,
    async handle({ task_id, path, limit, cursor }, call) {
      const task = await visibleTask(ports, call, task_id)
      const { files, ...rest } = await ports.files.list(task, { path, limit, cursor }, call.signal)
      const shown = files.map(({ modified_at, ...file }) => Object.assign(file, modified_at === undefined ? {} : { modified_at: toTimestamp(modified_at) }))
      return { task_id: task.id, files: shown, files_returned: files.length, ...rest }
    },
  })
}
