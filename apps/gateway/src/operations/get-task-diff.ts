import { z } from 'zod'
import { defineOperation, type Operation, type Ports } from './operation.ts'
import { TaskIdParameter } from './parameters.ts'
import { ChangeKind, FILES_PATIENCE_MS, WorkspacePath } from './task-files-port.ts'
import { visibleTask } from './visible-task.ts'

/** What the task changed, in every mode (G13), with or without a repository of the agent's. */
export function getTaskDiff(ports: Ports): Operation {
  return defineOperation({
    name: 'get_task_diff',
    title: 'Diff of a task',
    description: 'What a task changed in its workspace since its start, as a unified patch; while it runs, waits, is paused, and after its end. Left out: what a .gitignore leaves out, folders without files, and what lies in a repository of its own within the workspace (read it with get_task_files and read_task_file).',
    input: z.strictObject({
      task_id: TaskIdParameter,
      path: WorkspacePath.optional().describe('Only this folder or file, relative to the workspace.'),
      max_bytes: z.int().min(1).max(1024 * 1024).default(256 * 1024).describe('How long the patch may be. It is cut where a file ends, or within the first file where a line ends.'),
    }),
    output: z.object({
      task_id: z.string(),
      patch: z.string().describe('Binary files and those above 4 MiB are named, not shown. What is not UTF-8 is shown as U+FFFD.'),
      truncated: z.boolean().describe('Something is missing from patch or files: ask for a part with path, or read the files.'),
      files_total: z.int().describe('Files that changed.'),
      files_shown: z.int().describe('Files whose part of the patch is whole.'),
      files: z.array(z.object({ path: z.string(), change: z.enum([...ChangeKind.options, 'renamed']), previous_path: z.string().optional() })),
    }),
    hints: { readOnlyHint: true, destructiveHint: false, idempotentHint: true, openWorldHint: false },
    scope: 'tasks',
    route: { method: 'GET', path: '/api/tasks/{task_id}/diff' },
    isTool: true,
    patienceMs: () => FILES_PATIENCE_MS,
    async handle({ task_id, path, max_bytes }, call) {
      const task = await visibleTask(ports, call, task_id)
      return { task_id: task.id, ...await ports.files.diff(task, { path, max_bytes }, call.signal) }
    },
  })
}
