import { Control, LongshoreError } from '@longshore/contracts'
import { z } from 'zod'
import { defineOperation, type Operation, type Ports } from './operation.ts'
import { StatusField, TaskIdParameter } from './parameters.ts'
import { taskNotFound, visibleTask } from './visible-task.ts'

const Output = z.object({
  task_id: z.string(),
  control: Control,
  status: StatusField,
  outcome: z.enum(['ended', 'requested', 'already_over']).describe('ended: the task is over now. requested: its worker ends it. already_over: it was cancelled before.'),
  message: z.string(),
})

/** Cancel takes effect once (G3); asking twice is harmless. */
export function sendTaskControl(ports: Ports): Operation {
  return defineOperation({
    name: 'send_task_control',
    title: 'Control a task',
    description: 'Cancels a task that is queued or running. Asking again is harmless.',
    input: z.strictObject({
      task_id: TaskIdParameter,
      control: Control.describe('cancel ends the task. pause and resume are not supported yet.'),
      reason: z.string().max(1_000).optional().describe('Why; kept in the task\'s history.'),
    }),
    output: Output,
    hints: { readOnlyHint: false, destructiveHint: true, idempotentHint: true, openWorldHint: false },
    scope: 'tasks',
    route: { method: 'POST', path: '/api/tasks/{task_id}/control' },
    isTool: true,
    async handle({ task_id, control, reason }, call) {
      const { id } = await visibleTask(ports, call, task_id)
      if (control !== 'cancel') throw notSupported(control)
      const answer = await ports.ledger.cancel(id, call.caller.agentId ?? `operator:${call.caller.keyId}`, reason)
      if (answer === undefined) throw taskNotFound(task_id)
      const { outcome, task } = answer
      // Cancelling what is cancelled is the same wish again; any other end is an answer to it.
      if (outcome === 'already_over' && task.state !== 'cancelled') {
        throw new LongshoreError('task_over', `the task is over: ${task.state}`, { next: 'Ask get_task_status for its result.' })
      }
      return { task_id: id, control, status: task.state, outcome, message: MESSAGES[outcome] }
    },
  })
}

const MESSAGES = {
  ended: 'The task is cancelled.',
  requested: 'The worker that runs the task was told to end it. Ask get_task_status for the end.',
  already_over: 'The task was cancelled before.',
} as const

function notSupported(control: 'pause' | 'resume'): LongshoreError {
  return new LongshoreError('not_supported', `${control} is not supported yet`, {
    field: 'control',
    next: 'Let the task go on, or cancel it and submit it again later.',
  })
}
