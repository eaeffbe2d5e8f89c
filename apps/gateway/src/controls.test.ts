import type { BackendCapabilities, Task, TaskId } from '@longshore/contracts'
import { createHeartbeats } from '@longshore/queue'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { type GatewayFixture, startGatewayFixture } from './gateway-fixture.ts'
import { callOk, callRefused, connectClient, type TestClient } from './mcp-clients.ts'

let fixture: GatewayFixture
const open: TestClient[] = []
beforeAll(async () => {
  fixture = await startGatewayFixture()
})
afterAll(() => fixture.stop())
afterEach(async () => {
  for (const client of open.splice(0)) await client.close()
})

async function connect({ key = fixture.keys.alice } = {}): Promise<TestClient> {
  const client = await connectClient('1.x client', fixture.url, key)
  open.push(client)
  return client
}

async function running(taskId: TaskId): Promise<Task> {
  const take = await fixture.ledger.take({ task_id: taskId, n: 1 }, 'worker-test')
  if (take.kind !== 'taken') throw new Error(`not taken: ${take.reason}`)
  return take.task
}

/** A worker that says this of its docker mode. */
async function beat(can: Pick<BackendCapabilities, 'steer' | 'pause'>): Promise<void> {
  const capabilities = { adopt: true, resume: true, usage: true, files: false, ...can }
  await createHeartbeats(fixture.redis, fixture.deployment).beat({
    v: 1, name: 'worker-test', host: 'h', version: '1', started_at: 1, slots: 1, running: 0, draining: false, modes: [{ mode: 'docker', ok: true, isolation: 'container', capabilities }],
  })
}

test('a waiting task is paused and resumed, twice is harmless, and the log says by whom', async () => {
  const client = await connect()
  const { task_id } = await callOk(client, 'opencode_execute_task', { task_description: 'x' })
  expect(await callOk(client, 'send_task_control', { task_id, control: 'pause', reason: 'for the night' })).toMatchObject({ outcome: 'paused', status: 'paused' })
  expect(await callOk(client, 'send_task_control', { task_id, control: 'pause' })).toMatchObject({ outcome: 'unchanged', status: 'paused' })
  expect(await callOk(client, 'get_task_status', { task_id })).toMatchObject({ status: 'paused', paused_at: expect.any(String) as string })
  expect(await callOk(client, 'send_task_control', { task_id, control: 'resume' })).toMatchObject({ outcome: 'resumed', status: 'queued' })
  expect(await callOk(client, 'send_task_control', { task_id, control: 'resume' })).toMatchObject({ outcome: 'unchanged', status: 'queued' })
  expect((await callOk(client, 'get_task_history', { task_id }))['events']).toMatchObject([
    { type: 'task.queued' }, { type: 'task.paused', data: { by: 'agent-alice', reason: 'for the night' } }, { type: 'task.queued', data: { reason: 'resume', by: 'agent-alice' } },
  ])
})

test('a running task is paused by its worker, where that can; a plain command cannot, and says what to do', async () => {
  const client = await connect()
  const { task_id } = await callOk(client, 'opencode_execute_task', { task_description: 'x', mode: 'docker' })
  const { claim } = await running(task_id as TaskId)
  expect(await callOk(client, 'send_task_control', { task_id, control: 'pause' })).toMatchObject({ outcome: 'requested', status: 'running' })
  expect(await callOk(client, 'get_task_status', { task_id })).toMatchObject({ pause_requested: true })
  expect(await callOk(client, 'send_task_control', { task_id, control: 'resume' })).toMatchObject({ outcome: 'withdrawn', status: 'running' })
  await fixture.ledger.saveHandle({ taskId: task_id as TaskId, claim }, { v: 1, mode: 'docker', data: {} })
  await beat({ steer: false, pause: false })
  expect(await callRefused(client, 'send_task_control', { task_id, control: 'pause' })).toMatchObject({ code: 'not_supported', next: expect.stringContaining('Cancel') as string })
  expect(await callRefused(client, 'send_task_message', { task_id, message: 'hello' })).toMatchObject({ code: 'not_supported', next: expect.stringContaining('task_description') as string })
})

test('L-20: a message waits for the agent in every state but the ends, with its type and metadata', async () => {
  const client = await connect()
  await beat({ steer: true, pause: true })
  const { task_id } = await callOk(client, 'opencode_execute_task', { task_description: 'x', mode: 'docker' })
  const types = ['update', 'feedback', 'context_change', 'requirement_change', 'priority_change', 'clarification', 'correction', 'guidance', 'approval']
  for (const message_type of types) {
    expect(await callOk(client, 'send_task_message', { task_id, message: `about ${message_type}`, message_type, metadata: { pr: 7 } })).toMatchObject({ task_id, status: 'queued', message_id: expect.stringMatching(/^msg-/) as string })
  }
  expect(await callOk(client, 'get_task_status', { task_id })).toMatchObject({ messages_waiting: types.length })
  expect((await fixture.ledger.mail(task_id as TaskId)).map((one) => [one.message_type, one.by, one.text, one.metadata])).toEqual(types.map((type) => [type, 'agent-alice', `about ${type}`, { pr: 7 }]))
  await callOk(client, 'send_task_control', { task_id, control: 'pause' })
  expect(await callOk(client, 'send_task_message', { task_id, message: 'later' })).toMatchObject({ status: 'paused', message: expect.stringContaining('resumed') as string })
  await callOk(client, 'send_task_control', { task_id, control: 'cancel' })
  expect(await callRefused(client, 'send_task_message', { task_id, message: 'too late' })).toMatchObject({ code: 'task_over' })
  expect((await callOk(client, 'get_task_status', { task_id }))['undelivered_messages']).toHaveLength(types.length + 1)
})

test('G11: messages and controls for a task of somebody else are answered as for one that is not there', async () => {
  const [alice, bob] = [await connect(), await connect({ key: fixture.keys.bob })]
  const { task_id } = await callOk(alice, 'opencode_execute_task', { task_description: 'x' })
  for (const [tool, more] of [['send_task_message', { message: 'let me in' }], ['send_task_control', { control: 'pause' }], ['send_task_control', { control: 'resume' }]] as const) {
    expect(await callRefused(bob, tool, { task_id, ...more })).toMatchObject({ code: 'task_not_found' })
  }
  expect(await callOk(alice, 'get_task_status', { task_id })).toMatchObject({ status: 'queued' })
})

test.each([
  [{ message: ' \n' }, 'message'], [{ message: 'x'.repeat(8_193) }, 'message'], [{ message: '\ud800' }, 'message'],
  [{ message: 'x', message_type: 'order' }, 'message_type'], [{ message: 'x', metadata: { a: 'x'.repeat(2_048) } }, 'metadata'],
])('a message that does not fit is refused by its field (%#)', async (input, field) => {
  const client = await connect()
  const { task_id } = await callOk(client, 'opencode_execute_task', { task_description: 'x' })
  expect(await callRefused(client, 'send_task_message', { task_id, ...input })).toMatchObject({ code: 'invalid_input', field })
})

test('metadata that is nested without end is refused as what it is', async () => {
  const client = await connect()
  const { task_id } = await callOk(client, 'opencode_execute_task', { task_description: 'x' })
  const deep = await fixture.request(`/api/tasks/${String(task_id)}/messages`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: `{"message":"x","metadata":{"a":${'['.repeat(5_000)}${']'.repeat(5_000)}}}` })
  expect(await deep.json()).toMatchObject({ error: { code: 'invalid_input', field: 'metadata' } })
})

test('get_usage: each agent sees what its own tasks used, an operator all of it, by day', async () => {
  const [alice, bob, operator] = [await connect(), await connect({ key: fixture.keys.bob }), await connect({ key: fixture.keys.operator })]
  const none = { input_tokens: 0, output_tokens: 0, reasoning_tokens: 0, cache_read_tokens: 0, cache_write_tokens: 0, cost_micros: 0 }
  for (const [client, tokens] of [[alice, 10], [bob, 7]] as const) {
    const { task_id } = await callOk(client, 'opencode_execute_task', { task_description: 'x', mode: 'docker' })
    const { id, claim } = await running(task_id as TaskId)
    await fixture.ledger.append({ taskId: id, claim }, [{ type: 'task.usage', payload: { ...none, input_tokens: tokens, cost_micros: 1 } }])
    expect(await callOk(client, 'get_task_status', { task_id })).toMatchObject({ spent: { tokens, cost_micros: 1 } })
  }
  expect(await callOk(alice, 'get_usage', {})).toMatchObject({ lines: [{ agent_id: 'agent-alice', profile: 'opencode', mode: 'docker', input_tokens: 10 }], total: { input_tokens: 10, cost_micros: 1 } })
  expect(await callOk(bob, 'get_usage', {})).toMatchObject({ total: { input_tokens: 7 } })
  expect(await callOk(operator, 'get_usage', {})).toMatchObject({ lines: [{}, {}], total: { input_tokens: 17, cost_micros: 2 } })
  expect(await callOk(operator, 'get_usage', { from: '2001-01-01', to: '2001-01-02' })).toEqual({ from: '2001-01-01', to: '2001-01-02', lines: [], total: none })
  expect(await callRefused(operator, 'get_usage', { from: '2001-01-02', to: '2001-01-01' })).toMatchObject({ code: 'invalid_input', field: 'from' })
  expect(await callRefused(operator, 'get_usage', { to: 'today' })).toMatchObject({ code: 'invalid_input', field: 'to' })
})

test('budgets: a task may ask for less than the deployment allows, not for more', async () => {
  const strict = await startGatewayFixture({ TASK_TOKENS: '1000', AGENT_DAILY_TOKENS: '50' })
  const client = await connectClient('1.x client', strict.url, strict.keys.alice)
  open.push(client)
  const first = await callOk(client, 'opencode_execute_task', { task_description: 'x', idempotency_key: 'k' })
  expect(first).toMatchObject({ budget: { tokens: 1_000 } })
  const { task_id } = await callOk(client, 'opencode_execute_task', { task_description: 'x', budget_tokens: 10, budget_cost_micros: 5 })
  expect(await callOk(client, 'get_task_status', { task_id })).toMatchObject({ budget: { tokens: 10, cost_micros: 5 } })
  expect(await callRefused(client, 'opencode_execute_task', { task_description: 'x', budget_tokens: 1_001 })).toMatchObject({ code: 'invalid_input', field: 'budget_tokens', message: 'budget_tokens: got 1001, allowed: at most 1000 here' })
  const take = await strict.ledger.take({ task_id: task_id as TaskId, n: 1 }, 'w')
  if (take.kind !== 'taken') throw new Error('not taken')
  await strict.ledger.append({ taskId: take.task.id, claim: take.task.claim }, [{ type: 'task.usage', payload: { input_tokens: 50, output_tokens: 0, reasoning_tokens: 0, cache_read_tokens: 0, cache_write_tokens: 0, cost_micros: 0 } }])
  expect(await callRefused(client, 'opencode_execute_task', { task_description: 'x' })).toMatchObject({ code: 'budget', next: expect.stringContaining('midnight UTC') as string })
  await client.close()
  await strict.stop()
})
