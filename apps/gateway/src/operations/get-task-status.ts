import { readFrom } from '@longshore/ledger'
import { z } from 'zod'
import { EventView, viewEvent } from './event-view.ts'
import { defineOperation, type Operation, type Ports } from './operation.ts'
import { TaskIdParameter } from './parameters.ts'
import { InputView, TaskView, viewInputs, viewTask } from './task-view.ts'
import { visibleTask } from './visible-task.ts'

/** What the predecessor's callers get. */
const RECENT_EVENTS = 5

/** How a task stands, with its result once it is over. */
export function getTaskStatus(ports: Ports): Operation {
  return defineOperation({
    name: 'get_task_status',
    title: 'Task status',
    description: 'How a task stands: status, times, what its agent wants to know, last events, and its output or error once it is over.',
    input: z.strictObject({ task_id: TaskIdParameter }),
    output: z.object({ ...TaskView.shape, sent_files: z.array(z.object({ path: z.string(), size: z.int() })).optional().describe('The files that were sent along, by path, as long as they are kept for its start.'), inputs: z.array(InputView).optional().describe('What the agent wants to know and nobody has answered yet.'), recent_events: z.array(EventView).describe(`The last ${RECENT_EVENTS} events, oldest first.`) }),
    hints: { readOnlyHint: true, destructiveHint: false, idempotentHint: true, openWorldHint: false },
    scope: 'tasks',
    route: { method: 'GET', path: '/api/tasks/{task_id}' },
    isTool: true,
    async handle({ task_id }, call) {
      const task = await visibleTask(ports, call, task_id)
      const recent = await readFrom(ports.ledger, task.id, task.seq - RECENT_EVENTS, RECENT_EVENTS)
      const inputs = (task.asking ?? 0) > 0 ? viewInputs(await ports.ledger.inputs(task.id)) : []
      const sent = task.workspace?.files === undefined ? undefined : await ports.sent.list(task.workspace.files)
      return { ...viewTask(task, ports.now()), ...(sent === undefined ? {} : { sent_files: sent }), ...(inputs.length === 0 ? {} : { inputs }), recent_events: recent.map(viewEvent) }
    },
  })
}
