import { choicesOf, LongshoreError, NewTask, type Task } from '@longshore/contracts'
import { chooseMode } from '@longshore/rollout'
import { z } from 'zod'
import { defineOperation, type Operation, type Ports } from './operation.ts'
import { TaskIdParameter } from './parameters.ts'
import { submitWith } from './sent-files.ts'
import { servingMode } from './serving-mode.ts'
import { TaskView, viewTask } from './task-view.ts'
import { visibleTask } from './visible-task.ts'

export function listPoisonedTasks(ports: Ports): Operation {
  return defineOperation({
    name: 'list_poisoned_tasks',
    title: 'List poisoned tasks',
    description: 'Tasks that were ended because worker after worker died while it held them (POISON_LIMIT), newest first. They stay in this list until they are replayed.',
    input: z.strictObject({
      limit: z.int().min(1).max(200).default(50).describe('How many at most, 1 to 200.'),
      offset: z.int().min(0).max(1_000_000).default(0).describe('How many to skip from the newest.'),
    }),
    output: z.object({ tasks: z.array(TaskView) }),
    hints: { readOnlyHint: true, destructiveHint: false, idempotentHint: true, openWorldHint: false },
    scope: 'operate',
    route: { method: 'GET', path: '/api/poisoned-tasks' },
    isTool: true,
    async handle({ limit, offset }) {
      const tasks = await ports.ledger.poisoned(limit, offset)
      return { tasks: tasks.map((task) => viewTask(task, ports.now())) }
    },
  })
}

/**
 * The same work as a new task; the old one keeps its end and its log (G3). The new task's idempotency key is made of the old
 * task's id, and the old one leaves the list only after the submit: a replay that was cut short or sent twice makes one task.
 */
export function replayTask(ports: Ports): Operation {
  return defineOperation({
    name: 'replay_task',
    title: 'Replay a poisoned task',
    description: 'Submits a poisoned task again as a new one, for the same agent with the same prompt and settings, and takes the old one off the list.',
    input: z.strictObject({ task_id: TaskIdParameter }),
    output: z.object({ ...TaskView.shape, replayed_task_id: z.string().describe('The poisoned task. task_id and all else here is the new one.'), message: z.string() }),
    hints: { readOnlyHint: false, destructiveHint: false, idempotentHint: false, openWorldHint: true },
    scope: 'operate',
    route: { method: 'POST', path: '/api/tasks/{task_id}/replay', status: 202 },
    isTool: true,
    async handle({ task_id }, call) {
      const old = await visibleTask(ports, call, task_id)
      if (!(await ports.ledger.isPoisoned(old.id))) throw notPoisoned(old)
      const next = await again(ports, old)
      const files = old.workspace?.files
      const { task, ticket } = await submitWith(ports, next, files === undefined ? undefined : () => ports.sent.again(next.id, files))
      if (ticket !== undefined) ports.dispatch(ticket)
      await ports.ledger.unpoison(old.id)
      return { ...viewTask(task, ports.now()), replayed_task_id: old.id, message: `Task ${task.id} does the work of ${old.id} again.` }
    },
  })
}

/** All that the caller asked for, whatever a task can ask for: what is not carried over here would be run with less care than it was meant to be. */
async function again(ports: Ports, old: Task): Promise<NewTask> {
  const asked = NewTask.parse(old)
  const { agent_id, profile } = asked
  const explicit = asked.mode_asked === true ? asked.mode : undefined
  return {
    ...asked,
    id: ports.newTaskId(),
    // The rollout may have moved on since; what the caller wanted has not.
    mode: servingMode({ profile, choices: choicesOf(asked) }, chooseMode({ policy: await ports.rollout.get(), stickyKey: agent_id, explicit }), explicit, await ports.workers()).mode,
    idempotency_key: `replay:${old.id}`,
    paused_ttl_ms: ports.limits.pausedTtlMs,
    ...(ports.limits.pausedEnd === 'timeout' ? {} : { paused_end: ports.limits.pausedEnd }),
  }
}

function notPoisoned({ id, state, failure }: Task): LongshoreError {
  if (failure?.code === 'poison') {
    return new LongshoreError('not_supported', `${id} was replayed before: it is not in the list of poisoned tasks any more`, { field: 'task_id', next: 'Its new task is in the list of its agent\'s tasks.' })
  }
  return new LongshoreError('not_supported', `only a poisoned task can be replayed; ${id} is ${state}${failure === undefined ? '' : ` (${failure.code})`}`, {
    field: 'task_id', next: 'list_poisoned_tasks names those that can. Any other work is submitted again.',
  })
}
