import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Agent, CLIENTS, refusal, showLogsOfFailures, type Stack, startStack } from './harness/index.ts'

describe('G11: an agent sees and controls its own tasks only', () => {
  let stack: Stack
  let alices: string
  beforeAll(async () => {
    stack = await startStack({ gateways: 2, workers: 0 })
    alices = (await stack.alice.submit('a secret of alice')).task_id
  })
  afterAll(() => stack.stop())
  showLogsOfFailures(() => stack)

  const nobodys = `task-${'0'.repeat(26)}`
  const asks: readonly (readonly [string, (agent: Agent, id: string) => Promise<unknown>])[] = [
    ['status', (agent, id) => agent.status(id)],
    ['history', (agent, id) => agent.events(id)],
    ['cancel', (agent, id) => agent.cancel(id)],
  ]

  test.each(asks)("%s of another agent's task is answered as that of a task that never was", async (_name, ask) => {
    const said = await refusal(ask(stack.bob, alices))
    const saidOfNone = await refusal(ask(stack.bob, nobodys))
    expect(said).toEqual({ ...saidOfNone, message: saidOfNone.message.replace(nobodys, alices) })
    expect(said).toMatchObject({ status: 404, code: 'task_not_found' })
  })

  test.each(CLIENTS)('%s is told the same over MCP', async (client) => {
    const mcp = stack.mcp(client)
    expect(await mcp.call('get_task_status', { task_id: alices })).toMatchObject({ agent_id: 'agent-alice' })
    await expect(mcp.call('get_task_status', { task_id: nobodys })).rejects.toThrow('task_not_found')
    await expect(mcp.call('opencode_execute_task', { task_description: 'x', agent_id: 'agent-bob' })).rejects.toThrow('forbidden')
  })

  test('nothing that the other agent tried has touched the task, and its list does not show it', async () => {
    expect(await stack.alice.status(alices)).toMatchObject({ status: 'queued' })
    expect(await stack.alice.events(alices)).toHaveLength(1)
    expect(await (await stack.bob.fetch('/api/tasks')).json()).toEqual({ tasks: [] })
  })

  test('an operator sees and controls every task', async () => {
    expect(await stack.operator.status(alices)).toMatchObject({ task_id: alices, agent_id: 'agent-alice' })
    expect(await stack.operator.cancel(alices, 'enough')).toMatchObject({ status: 'cancelled' })
  })
})
