import { Control, type Task } from '@longshore/contracts'
import { z } from 'zod'
import { callerName, requireCapability, taskOver } from './controllable.ts'
import { type Call, defineOperation, type Operation, type Ports } from './operation.ts'
import { StatusField, TaskIdParameter } from './parameters.ts'
import { taskNotFound, visibleTask } from './visible-task.ts'

/** What a control can come to, and what the caller reads then. */
const MESSAGES = {
  ended: 'The task is cancelled.',
  requested: 'The worker that holds the task was told. Ask get_task_status for how it stands.',
  already_over: 'The task was cancelled before.',
  paused: 'The task is paused: it starts when it is resumed.',
  resumed: 'The task is in the queue again and goes on where it stood.',
  withdrawn: 'The task had not stopped for the pause yet; that wish is taken back.',
  unchanged: 'The task already stood so; nothing changed.',
} as const
type Outcome = keyof typeof MESSAGES

const Output = z.object({
  task_id: z.string(),
  control: Control,
  status: StatusField,
  outcome: z.enum(Object.keys(MESSAGES) as [Outcome, ...Outcome[]]).describe(
    'ended: the task is over now. requested: its worker carries it out. already_over: it was cancelled before. paused, resumed: done. '
    + 'withdrawn: a pause that had not begun was taken back. unchanged: it was so before.',
  ),
  message: z.string(),
})

/** Each control takes effect once; asking twice is harmless. */
export function sendTaskControl(ports: Ports): Operation {
  return defineOperation({
    name: 'send_task_control',
    title: 'Control a task',
    description: 'Cancels a task, pauses it (its session and workspace are kept, its time limit stands still), or resumes a paused one. Asking again is harmless.',
    input: z.strictObject({
      task_id: TaskIdParameter,
      control: Control.describe('cancel ends the task. pause stops it where it stands: what runs at that moment is cut off. resume lets it go on.'),
      reason: z.string().max(1_000).optional().describe('Why; kept in the task\'s history. Not for resume.'),
    }),
    output: Output,
    hints: { readOnlyHint: false, destructiveHint: true, idempotentHint: true, openWorldHint: false },
    scope: 'tasks',
    route: { method: 'POST', path: '/api/tasks/{task_id}/control' },
    isTool: true,
    async handle({ task_id, control, reason }, call) {
      const task = await visibleTask(ports, call, task_id)
      const answer = await carryOut(ports, call, task, control, reason)
      if (answer === undefined) throw taskNotFound(task_id)
      const { outcome, task: { state } } = answer
      // Cancelling what is cancelled is the same wish again; any other end is an answer to it.
      if (outcome === 'already_over' && !(control === 'cancel' && state === 'cancelled')) throw taskOver(state)
      return { task_id: task.id, control, status: state, outcome, message: MESSAGES[outcome] }
    },
  })
}

async function carryOut(ports: Ports, call: Call, task: Task, control: Control, reason: string | undefined): Promise<{ outcome: Outcome; task: Task } | undefined> {
  const by = callerName(call)
  switch (control) {
    case 'cancel': return ports.ledger.cancel(task.id, by, reason)
    case 'pause':
      if (task.handle !== undefined) await requireCapability(ports, task, 'pause')
      return ports.ledger.pause(task.id, by, reason)
    case 'resume': {
      const answer = await ports.ledger.resume(task.id, by)
      if (answer?.ticket !== undefined) ports.dispatch(answer.ticket)
      return answer
    }
  }
}
