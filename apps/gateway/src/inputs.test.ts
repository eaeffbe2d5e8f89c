import type { InputId, TaskId, TaskInput } from '@longshore/contracts'
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

const [FIRST, SECOND]: readonly [InputId, InputId] = ['input-00000000000000aa', 'input-00000000000000bb']

async function connect(key: string): Promise<TestClient> {
  const client = await connectClient('1.x client', fixture.url, key)
  open.push(client)
  return client
}

/** A task of alice's whose agent asks these. */
async function asking(...inputs: Partial<TaskInput>[]): Promise<string> {
  const client = await connect(fixture.keys.alice)
  const { task_id } = await callOk(client, 'opencode_execute_task', { task_description: 'x', mode: 'docker' })
  const take = await fixture.ledger.take({ task_id: task_id as TaskId, n: 1 }, 'worker-test')
  if (take.kind !== 'taken') throw new Error(`not taken: ${take.reason}`)
  for (const [i, input] of inputs.entries()) {
    await fixture.ledger.ask({ taskId: take.task.id, claim: take.task.claim }, {
      input_id: [FIRST, SECOND][i] ?? FIRST, kind: 'question', question: 'Which color?', choices: ['red', 'blue'], free_text: false, multiple: false, print: 'p', ttl_ms: 60_000, unanswered: 'deny', ...input,
    })
  }
  return String(task_id)
}
const operator = () => connect(fixture.keys.operator)

test('get_task_status shows what is open with its choices, and an answer is acknowledged, once', async () => {
  const task_id = await asking({})
  const client = await operator()
  expect(await callOk(client, 'get_task_status', { task_id })).toMatchObject({
    status: 'input_required', asking: 1,
    inputs: [{ input_id: FIRST, kind: 'question', question: 'Which color?', choices: ['red', 'blue'], free_text: false, multiple: false, asked_at: expect.any(String) as string, expires_at: expect.any(String) as string, unanswered: 'the agent goes on without' }],
  })
  expect(await callOk(client, 'answer_task_input', { task_id, answer: 'blue' })).toMatchObject({ input_id: FIRST, answer: ['blue'], status: 'input_required', message: expect.stringContaining('at once') as string })
  expect(await callOk(client, 'answer_task_input', { task_id, input_id: FIRST, answer: 'blue' })).toMatchObject({ answer: ['blue'] })
  expect(await callRefused(client, 'answer_task_input', { task_id, input_id: FIRST, answer: 'red' })).toMatchObject({ code: 'already_answered', message: expect.stringMatching(/operator:key-\w+ has answered already: blue/) as string })
  expect(await callOk(client, 'get_task_status', { task_id })).not.toHaveProperty('inputs')
})

test('G11: an agent\'s key may answer only if it was made so, and only its own tasks', async () => {
  const task_id = await asking({})
  const [alice, strange] = [await connect(fixture.keys.alice), await connect((await fixture.apiKeys.make({ agentId: 'agent-bob', answers: true }, 'bob answers')).key)]
  expect((await alice.listTools()).tools.map(({ name }) => name)).not.toContain('answer_task_input')
  expect(await callRefused(alice, 'answer_task_input', { task_id, answer: 'blue' })).toMatchObject({ code: 'forbidden', message: expect.stringContaining('answer') as string })
  expect(await callRefused(strange, 'answer_task_input', { task_id, answer: 'blue' })).toMatchObject({ code: 'task_not_found' })
  const own = await connect((await fixture.apiKeys.make({ agentId: 'agent-alice', answers: true }, 'alice answers')).key)
  expect(await callOk(own, 'answer_task_input', { task_id, answer: 'blue' })).toMatchObject({ answer: ['blue'] })
})

test.each([
  ['another text than the choices', {}, { answer: 'green' }, 'answer', 'got "green", allowed: red, blue'],
  ['two choices where one is asked', {}, { answer: ['red', 'blue'] }, 'answer', 'got 2 answers, allowed: one'],
  ['nothing for a permission', { kind: 'permission', choices: ['allow', 'always', 'deny'] }, { answer: [] }, 'answer', 'got 0 answers'],
  ['a message without a denial', { kind: 'permission', choices: ['allow', 'always', 'deny'] }, { answer: 'allow', message: 'but carefully' }, 'message', 'only a denied permission'],
  ['an unknown input', {}, { answer: 'red', input_id: 'input-x' }, 'input_id', `got "input-x", which this task does not have, allowed: ${FIRST}`],
  ['a blank text', { free_text: true }, { answer: '  ' }, 'answer', 'or another text'],
] as const)('what is no answer is refused by name: %s', async (_what, input, given, field, says) => {
  const task_id = await asking(input as Partial<TaskInput>)
  expect(await callRefused(await operator(), 'answer_task_input', { task_id, ...given })).toMatchObject({ code: 'invalid_input', field, message: expect.stringContaining(says) as string })
  expect(await fixture.ledger.get(task_id)).toMatchObject({ asking: 1 })
})

test('which of two is meant must be said; free texts and several choices are taken where they are allowed', async () => {
  const task_id = await asking({ free_text: true }, { multiple: true })
  const client = await operator()
  expect(await callRefused(client, 'answer_task_input', { task_id, answer: 'red' })).toMatchObject({ code: 'invalid_input', field: 'input_id', message: expect.stringContaining('2 are open') as string })
  expect(await callOk(client, 'answer_task_input', { task_id, input_id: FIRST, answer: 'a warm one' })).toMatchObject({ answer: ['a warm one'] })
  expect(await callOk(client, 'answer_task_input', { task_id, answer: ['red', 'blue'] })).toMatchObject({ input_id: SECOND, answer: ['red', 'blue'] })
  expect(await callRefused(client, 'answer_task_input', { task_id, answer: 'red' })).toMatchObject({ code: 'invalid_input', next: expect.stringContaining('Nothing is to be answered') as string })
})

test('a choice is taken as the agent wrote it, blanks at its ends included', async () => {
  const task_id = await asking({ choices: [' red', 'blue '] })
  expect(await callOk(await operator(), 'answer_task_input', { task_id, answer: 'blue ' })).toMatchObject({ answer: ['blue '] })
  const other = await asking({ choices: [' red', 'blue '] })
  expect(await callOk(await operator(), 'answer_task_input', { task_id: other, answer: 'red' })).toMatchObject({ answer: [' red'] })
})

test('what is over is not answered any more, and an answer for another task is none', async () => {
  const [task_id, other] = [await asking({}), await asking()]
  const client = await operator()
  expect(await callRefused(client, 'answer_task_input', { task_id: other, input_id: FIRST, answer: 'red' })).toMatchObject({ code: 'invalid_input', field: 'input_id' })
  await fixture.ledger.end({ taskId: task_id, claim: 1 }, { state: 'cancelled', payload: { by: 'op' } })
  expect(await callRefused(client, 'answer_task_input', { task_id, answer: 'red' })).toMatchObject({ code: 'task_over' })
})

test('a task brings what its agent may do, and for how long it asks; what is no policy is refused by name', async () => {
  const client = await connect(fixture.keys.alice)
  const { task_id } = await callOk(client, 'opencode_execute_task', { task_description: 'x', permissions: { bash: { '*': 'ask' } }, input_ttl_ms: 5_000 })
  expect(await fixture.ledger.get(task_id as TaskId)).toMatchObject({ permissions: { bash: { '*': 'ask' } }, input_ttl_ms: 5_000 })
  expect(await callRefused(client, 'opencode_execute_task', { task_description: 'x', permissions: { bash: 'perhaps' } })).toMatchObject({ code: 'invalid_input', message: expect.stringContaining('permissions') as string })
  const response = await fixture.request(`/api/tasks/${String(task_id)}/inputs`, { method: 'POST', key: fixture.keys.operator, headers: { 'content-type': 'application/json' }, body: JSON.stringify({ answer: 'x' }) })
  expect([response.status, await response.json()]).toMatchObject([400, { error: { code: 'invalid_input', field: 'input_id' } }])
})
