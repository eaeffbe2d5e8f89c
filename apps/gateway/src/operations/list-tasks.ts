import { AgentId } from '@longshore/contracts'
import { z } from 'zod'
import { ownOrAnyAgent } from './acting-agent.ts'
import { defineOperation, type Operation, type Ports } from './operation.ts'
import { TaskView, viewTask } from './task-view.ts'

/** Newest first; an agent sees its own (G11), an operator every agent's or one's. */
export function listTasks(ports: Ports): Operation {
  return defineOperation({
    name: 'list_tasks',
    title: 'List tasks',
    description: 'Tasks, newest first: your own, or with an operator\'s key everybody\'s.',
    input: z.strictObject({
      agent_id: AgentId.optional().describe('Only this agent\'s tasks.'),
      limit: z.int().min(1).max(200).default(50),
      offset: z.int().min(0).max(1_000_000).default(0),
    }),
    output: z.object({ tasks: z.array(TaskView) }),
    hints: { readOnlyHint: true, destructiveHint: false, idempotentHint: true, openWorldHint: false },
    scope: 'tasks',
    route: { method: 'GET', path: '/api/tasks' },
    isTool: false,
    async handle({ agent_id, limit, offset }, call) {
      const agentId = ownOrAnyAgent(call, agent_id)
      const tasks = await ports.ledger.list({ limit, offset, ...(agentId === undefined ? {} : { agentId }) })
      return { tasks: tasks.map((task) => viewTask(task, ports.now())) }
    },
  })
}
