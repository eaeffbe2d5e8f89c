import { afterAll, beforeAll, expect, test } from 'vitest'
import { type GatewayFixture, startGatewayFixture } from './gateway-fixture.ts'
import { callOk, callRefused, connectClient, type TestClient } from './mcp-clients.ts'

let fixture: GatewayFixture
let [alice, bob, operator]: TestClient[] = []
const submitted: Record<string, string> = {}
const clientOf = (key: string) => connectClient('1.x client', fixture.url, key)

beforeAll(async () => {
  fixture = await startGatewayFixture()
  const clients = await Promise.all([fixture.keys.alice, fixture.keys.bob, fixture.keys.operator].map(clientOf))
  ;[alice, bob, operator] = clients
  for (const [client, title, mode] of [[alice, 'Fix the parser', 'docker'], [alice, 'FIX the lexer', 'opencode'], [bob, 'fix bob\'s own', 'docker'], [alice, 'Write docs', 'docker']] as const) {
    const { task_id } = await callOk(client as TestClient, 'opencode_execute_task', { task_description: title, mode })
    submitted[title] = String(task_id)
  }
  await callOk(alice as TestClient, 'send_task_control', { task_id: submitted['Write docs'], control: 'cancel' })
})
afterAll(async () => {
  await Promise.all([alice?.close(), bob?.close(), operator?.close()])
  await fixture.stop()
})

const titles = (answer: Record<string, unknown>) => (answer['tasks'] as { title: string }[]).map(({ title }) => title)
const search = async (client: TestClient | undefined, args: object = {}) => titles(await callOk(client as TestClient, 'search_tasks', { ...args }))

test('tasks are found by what they are, newest first', async () => {
  expect(await search(alice)).toEqual(['Write docs', 'FIX the lexer', 'Fix the parser'])
  expect(await search(alice, { title_prefix: 'fix' })).toEqual(['FIX the lexer', 'Fix the parser'])
  expect(await search(alice, { title_prefix: 'fix', mode: 'docker' })).toEqual(['Fix the parser'])
  expect(await search(alice, { status: 'cancelled' })).toEqual(['Write docs'])
  expect(await search(alice, { status: ['cancelled', 'queued'], profile: 'opencode' })).toHaveLength(3)
  expect(await search(alice, { ended_from: '2020-01-01T00:00:00Z' })).toEqual(['Write docs'])
  expect(await search(alice, { ended_before: '2020-01-01T00:00:00+02:00' })).toEqual([])
  expect(await search(alice, { created_from: '2020-01-01T00:00:00Z', created_before: '2020-01-02T00:00:00Z' })).toEqual([])
})

test('G11: an agent finds its own, an operator everybody\'s', async () => {
  expect(await search(bob, { title_prefix: 'FIX' })).toEqual(['fix bob\'s own'])
  expect(await search(operator, { title_prefix: 'fix' })).toHaveLength(3)
  expect(await search(operator, { title_prefix: 'fix', agent_id: 'agent-bob' })).toEqual(['fix bob\'s own'])
  expect(await callRefused(bob as TestClient, 'search_tasks', { agent_id: 'agent-alice' })).toMatchObject({ code: 'forbidden', field: 'agent_id' })
})

test('page by page, over HTTP as over MCP', async () => {
  const first = await callOk(alice as TestClient, 'search_tasks', { limit: 2 })
  expect(first).toMatchObject({ has_more: true })
  const { next_cursor: cursor } = first
  expect(await callOk(alice as TestClient, 'search_tasks', { limit: 2, cursor })).toMatchObject({ tasks: [{ title: 'Fix the parser' }], has_more: false })
  const reply = await fixture.request(`/api/search?limit=2&status=${encodeURIComponent('["queued"]')}&title_prefix=fix`)
  expect(titles(await reply.json() as Record<string, unknown>)).toEqual(['FIX the lexer', 'Fix the parser'])
})

test('a cursor of somebody else\'s search shows nothing of theirs', async () => {
  const { next_cursor: cursor } = await callOk(operator as TestClient, 'search_tasks', { limit: 1 })
  expect(await search(bob, { cursor })).toEqual(['fix bob\'s own'])
})

test.each([
  [{ status: 'done' }, 'status'], [{ status: [] }, 'status'], [{ mode: 'cloud' }, 'mode'], [{ profile: '../x' }, 'profile'], [{ title_prefix: 'a\u0000b' }, 'title_prefix'], [{ title_prefix: '\u001B[31m' }, 'title_prefix'],
  [{ title_prefix: 'x'.repeat(121) }, 'title_prefix'], [{ title_prefix: '\uD800' }, 'title_prefix'], [{ title_prefix: '' }, 'title_prefix'], [{ title_prefix: '\u200D' }, 'title_prefix'], [{ created_from: 'yesterday' }, 'created_from'],
  [{ created_from: '2026-01-02T00:00:00Z', created_before: '2026-01-01T00:00:00Z' }, 'created_before'], [{ ended_from: '2026-01-01T00:00:00Z', ended_before: '2026-01-01T00:00:00Z' }, 'ended_before'],
  [{ cursor: 'next' }, 'cursor'], [{ cursor: `1234567890123task-${'A'.repeat(26)}` }, 'cursor'], [{ limit: 201 }, 'limit'], [{ agent_id: 'a b' }, 'agent_id'],
])('%j is refused by its field', async (input, field) => {
  expect(await callRefused(alice as TestClient, 'search_tasks', input)).toMatchObject({ code: 'invalid_input', field })
})

test('tasks of an earlier version are found as soon as a gateway has brought them in', async () => {
  const prefix = `{ls:${fixture.deployment}}:`
  await fixture.redis.del(...await fixture.redis.keys(`${prefix}index:*`), `${prefix}titles`, `${prefix}indexed`, `${prefix}kinds`)
  expect(await callOk(alice as TestClient, 'search_tasks')).toMatchObject({ tasks: [], note: expect.stringContaining('index') as string })
  await fixture.replica()
  await expect.poll(() => search(alice, { title_prefix: 'fix the p' })).toEqual(['Fix the parser'])
  await expect.poll(() => callOk(alice as TestClient, 'search_tasks')).not.toHaveProperty('note')
})
