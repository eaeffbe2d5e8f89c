import { LongshoreError, type Task, TaskId } from '@longshore/contracts'

import type { Call, Ports } from './operation.ts'

/**
 * The task, when this caller may see it.
 * @throws LongshoreError task_not_found, with one answer for unknown, malformed and other agents' ids (G11)
 */
export async function visibleTask(ports: Pick<Ports, 'ledger'>, call: Call, id: string): Promise<Task> {
  const taskId = TaskId.safeParse(id)
  const task = taskId.success ? await ports.ledger.get(taskId.data) : undefined
  if (task === undefined || !(call.caller.isOperator || task.agent_id === call.caller.agentId)) throw taskNotFound(id)
  return task
}

export function taskNotFound(id: string): LongshoreError {
  return new LongshoreError('task_not_found', `no task ${JSON.stringify(id)} of yours is known here`, {
    field: 'task_id',
    next: 'Check the id that opencode_execute_task returned, and that the API key is the one that submitted it.',
  })
}
