import { pipeline, Readable } from 'node:stream'
import { createGzip } from 'node:zlib'

import { z } from 'zod'

import { defineOperation, type Operation, type Ports } from './operation.ts'
import { TaskIdParameter } from './parameters.ts'
import { FILES_PATIENCE_MS } from './task-files-port.ts'
import { visibleTask } from './visible-task.ts'

/** The workspace in one piece; bytes go over HTTP, an MCP client is told where. */
export function getTaskArchive(ports: Ports): Operation {
  return defineOperation({
    name: 'get_task_archive',
    title: 'Archive of a task',
    description: 'Where to download a task\'s whole workspace as one tar.gz: a GET with the same key, while the task runs and after its end. Links are stored as links; every .git is left out, since its configuration runs commands, and special files are; a note in it names what else is missing.',
    input: z.strictObject({ task_id: TaskIdParameter }),
    output: z.object({
      task_id: z.string(),
      path: z.string().describe('On this gateway: GET it with the header authorization: Bearer <key>.'),
      media_type: z.string(),
    }),
    hints: { readOnlyHint: true, destructiveHint: false, idempotentHint: true, openWorldHint: false },
    scope: 'tasks',
    route: { method: 'GET', path: '/api/tasks/{task_id}/archive' },
    isTool: true,
    patienceMs: () => FILES_PATIENCE_MS,
    async handle({ task_id }, call) {
      const task = await visibleTask(ports, call, task_id)
      // Says now, not at the download, when there is nothing.
      await ports.files.list(task, { path: '/', limit: 1, cursor: undefined }, call.signal)
      return { task_id: task.id, path: `/api/tasks/${task.id}/archive`, media_type: 'application/gzip' }
    },
    async download({ task_id }, call) {
      const task = await visibleTask(ports, call, task_id)
      const tar = await ports.files.archive(task, call.signal)
      // Either one ends the other: whoever reads hears of a source that broke, and the source is closed when nobody reads any more.
      const body = pipeline(Readable.from(tar), createGzip(), () => {})
      return { status: 200, headers: { 'content-type': 'application/gzip', 'content-disposition': `attachment; filename="${task.id}.tar.gz"` }, body }
    },
  })
}
