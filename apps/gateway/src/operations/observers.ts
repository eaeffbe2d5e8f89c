import { LongshoreError, MAX_OBSERVERS, Observer, type Task, Watcher } from '@longshore/contracts'
import { z } from 'zod'
import { callerName, taskOver } from './controllable.ts'
import { defineOperation, type Operation, type Ports } from './operation.ts'
import { StatusField, TaskIdParameter, Timestamp, toTimestamp } from './parameters.ts'
import { taskNotFound, visibleTask } from './visible-task.ts'

const ObserverView = z.object({
  observer_id: z.string(), observer_type: Watcher.shape.type, read_only: z.boolean(),
  added_by: z.string(), added_at: Timestamp,
})

const Output = z.object({ task_id: z.string(), status: StatusField, observers: z.array(ObserverView), total: z.int() })

/** Those of the submit may read, and are people as far as anybody knows. */
function viewObservers({ id, state, agent_id, created_at, observers, watchers }: Task): z.infer<typeof Output> {
  const all = watchers ?? observers.map((observer): Watcher => ({ id: observer, type: 'human', read_only: true, by: agent_id, at: created_at }))
  return {
    task_id: id, status: state, total: all.length,
    observers: all.map((one) => ({ observer_id: one.id, observer_type: one.type, read_only: one.read_only, added_by: one.by, added_at: toTimestamp(one.at) })),
  }
}

const ROUTE = '/api/tasks/{task_id}/observers'
const HINTS = { readOnlyHint: false, destructiveHint: false, idempotentHint: true, openWorldHint: true }

export function addTaskObserver(ports: Ports): Operation {
  return defineOperation({
    name: 'add_task_observer',
    title: 'Add an observer',
    description: 'Lets somebody in Matrix watch a task that is not over. Adding again changes observer_type and read_only.',
    input: z.strictObject({
      task_id: TaskIdParameter,
      observer_id: Observer.describe('A Matrix user id, @name:server.'),
      observer_type: Watcher.shape.type.default('human').describe('human or agent.'),
      read_only: z.boolean().default(true).describe('Whether they may only read where the task is shown. What they may command is never said here, but by the operator\'s configuration.'),
    }),
    output: z.object({ ...Output.shape, outcome: z.enum(['added', 'changed', 'unchanged']) }),
    hints: HINTS,
    scope: 'tasks',
    route: { method: 'POST', path: ROUTE },
    isTool: true,
    async handle({ task_id, observer_id, observer_type, read_only }, call) {
      const { id } = await visibleTask(ports, call, task_id)
      const answer = await ports.ledger.watch(id, { id: observer_id, type: observer_type, read_only, by: callerName(call) })
      if (answer === undefined) throw taskNotFound(task_id)
      const { outcome, task } = answer
      if (outcome === 'already_over') throw taskOver(task.state)
      if (outcome === 'full') throw new LongshoreError('not_supported', `a task has at most ${MAX_OBSERVERS} observers`, { field: 'observer_id', next: 'Remove one with remove_task_observer.' })
      return { ...viewObservers(task), outcome }
    },
  })
}

export function removeTaskObserver(ports: Ports): Operation {
  return defineOperation({
    name: 'remove_task_observer',
    title: 'Remove an observer',
    description: 'Somebody does not watch a task any more that is not over. Removing whom it does not have changes nothing.',
    input: z.strictObject({ task_id: TaskIdParameter, observer_id: Observer.describe('A Matrix user id, @name:server.') }),
    output: z.object({ ...Output.shape, outcome: z.enum(['removed', 'unchanged']) }),
    hints: HINTS,
    scope: 'tasks',
    route: { method: 'DELETE', path: `${ROUTE}/{observer_id}` },
    isTool: true,
    async handle({ task_id, observer_id }, call) {
      const { id } = await visibleTask(ports, call, task_id)
      const answer = await ports.ledger.unwatch(id, observer_id)
      if (answer === undefined) throw taskNotFound(task_id)
      if (answer.outcome === 'already_over') throw taskOver(answer.task.state)
      return { ...viewObservers(answer.task), outcome: answer.outcome }
    },
  })
}

export function listTaskObservers(ports: Ports): Operation {
  return defineOperation({
    name: 'list_task_observers',
    title: 'Observers of a task',
    description: 'Who watches a task, or watched it until its end.',
    input: z.strictObject({ task_id: TaskIdParameter }),
    output: Output,
    hints: { readOnlyHint: true, destructiveHint: false, idempotentHint: true, openWorldHint: false },
    scope: 'tasks',
    route: { method: 'GET', path: ROUTE },
    isTool: true,
    handle: async ({ task_id }, call) => viewObservers(await visibleTask(ports, call, task_id)),
  })
}
