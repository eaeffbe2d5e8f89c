import { answerChoices, AnswerText, InputAnswer, LongshoreError, MAX_CHOICES, type StoredInput, type Task } from '@longshore/contracts'
import { z } from 'zod'
import { callerName, taskOver } from './controllable.ts'
import { defineOperation, type Operation, type Ports } from './operation.ts'
import { StatusField, TaskIdParameter } from './parameters.ts'
import { taskNotFound, visibleTask } from './visible-task.ts'

const Output = z.object({ task_id: z.string(), input_id: z.string(), status: StatusField, answer: z.array(z.string()), message: z.string() })

/** The first answer counts; the same one again is harmless. */
export function answerTaskInput(ports: Ports): Operation {
  return defineOperation({
    name: 'answer_task_input',
    title: 'Answer an agent',
    description: 'Answers a question of the agent that works on a task, or decides about a permission that it asked for. get_task_status shows what is open, with the choices.',
    input: z.strictObject({
      task_id: TaskIdParameter,
      input_id: z.string().max(100).optional().describe('Which one, as get_task_status names it. Not needed while only one is open.'),
      answer: z.union([AnswerText, z.array(AnswerText).max(MAX_CHOICES)]).describe('A choice; several where more than one may be taken; another text where that is allowed. An empty list for a question: the agent goes on without.'),
      message: AnswerText.optional().describe('For the agent, with a denied permission: why not, or what else to do.'),
    }),
    output: Output,
    hints: { readOnlyHint: false, destructiveHint: false, idempotentHint: true, openWorldHint: false },
    scope: 'answer',
    route: { method: 'POST', path: '/api/tasks/{task_id}/inputs' },
    isTool: true,
    async handle({ task_id, input_id, answer, message }, call) {
      const task = await visibleTask(ports, call, task_id)
      const input = chosen(task, await ports.ledger.inputs(task.id), input_id)
      const choices = answerChoices(input, typeof answer === 'string' ? [answer] : answer, message)
      const done = await ports.ledger.answer(task.id, input.input_id, InputAnswer.parse({ choices, by: callerName(call), ...(message === undefined ? {} : { message }) }))
      if (done === undefined) throw taskNotFound(task_id)
      if (done.outcome === 'already_over') throw taskOver(done.before)
      if (done.outcome === 'no_such_input') throw noSuchInput(input.input_id, [])
      if (done.outcome === 'not_open') throw notOpen((await ports.ledger.inputs(task.id)).find((one) => one.input_id === input.input_id) ?? input)
      if (done.ticket !== undefined) ports.dispatch(done.ticket)
      return { task_id: task.id, input_id: input.input_id, status: done.task.state, answer: choices, message: SAYS[done.task.state] ?? 'The agent gets the answer at once.' }
    },
  })
}

const SAYS: Readonly<Record<string, string>> = { queued: 'The task is in the queue again and goes on with the answer.', paused: 'The agent gets the answer when the task is resumed.' }

/** @throws LongshoreError task_over, invalid_input */
function chosen(task: Task, inputs: readonly StoredInput[], inputId: string | undefined): StoredInput {
  const open = inputs.filter(({ status }) => status === 'open')
  const found = inputId === undefined ? (open.length === 1 ? open[0] : undefined) : inputs.find(({ input_id }) => input_id === inputId)
  if (found !== undefined) return found
  if (task.ended_at !== undefined) throw taskOver(task.state)
  throw noSuchInput(inputId, open)
}

function noSuchInput(inputId: string | undefined, open: readonly StoredInput[]): LongshoreError {
  const ids = open.map(({ input_id }) => input_id).join(', ')
  const got = inputId === undefined ? `it is left out, and ${open.length} are open` : `got ${JSON.stringify(inputId)}, which this task does not have`
  return new LongshoreError('invalid_input', `input_id: ${got}${ids === '' ? '' : `, allowed: ${ids}`}`, { field: 'input_id', next: open.length === 0 ? 'Nothing is to be answered now; ask get_task_status for how the task stands.' : 'Name one of those that are open.' })
}

/** Answered twice, late, or asked no more: the answer that stands is named, so that nobody takes his own for it. */
function notOpen({ status, answer }: StoredInput): LongshoreError {
  const stands = answer === undefined ? 'the agent does not ask that any more' : `${answer.by} has answered already: ${answer.choices.join(', ') || 'go on without'}`
  return new LongshoreError('already_answered', stands, { field: 'input_id', next: status === 'withdrawn' ? 'Ask get_task_status for what is open.' : 'Tell the agent with send_task_message if that must change.' })
}
