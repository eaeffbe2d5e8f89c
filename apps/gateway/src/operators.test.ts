import type { TaskId } from '@longshore/contracts'
import { createHeartbeats, type Heartbeat } from '@longshore/queue'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type GatewayFixture, startGatewayFixture } from './gateway-fixture.ts'
import { callOk, callRefused, CLIENT_KINDS, connectClient, type TestClient } from './mcp-clients.ts'

let fixture: GatewayFixture
let operator: TestClient
const open: TestClient[] = []

beforeAll(async () => {
  fixture = await startGatewayFixture({ CANARY_OPENCODE_PERCENT: '0' })
})
afterAll(() => fixture.stop())
afterEach(async () => {
  for (const client of open.splice(0)) await client.close()
})

async function connect(key: string, kind: (typeof CLIENT_KINDS)[number] = '1.x client'): Promise<TestClient> {
  const client = await connectClient(kind, fixture.url, key)
  open.push(client)
  return client
}

const post = (path: string, body: object = {}, key = fixture.keys.operator) =>
  fixture.request(path, { method: 'POST', key, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })

const OPERATORS_TOOLS = ['list_workers', 'drain_worker', 'list_poisoned_tasks', 'replay_task', 'list_dead_notices', 'replay_dead_notices']

test.each(CLIENT_KINDS)('a %s lists an operator\'s tools with an operator\'s key only', async (kind) => {
  const names = async (key: string) => (await (await connect(key, kind)).listTools()).tools.map(({ name }) => name)
  expect(await names(fixture.keys.alice)).not.toEqual(expect.arrayContaining([expect.stringMatching(/worker|poison|replay|dead/)]))
  expect((await names(fixture.keys.operator)).slice(-6)).toEqual(OPERATORS_TOOLS)
})

test('G11: an agent\'s key is refused all of them, through both doors, before its input is looked at', async () => {
  const agent = await connect(fixture.keys.alice)
  for (const tool of OPERATORS_TOOLS) expect(await callRefused(agent, tool, { nonsense: 1 })).toMatchObject({ code: 'forbidden', next: expect.stringContaining('operator') as string })
  for (const path of ['/api/workers', '/api/poisoned-tasks', '/api/dead-notices']) expect((await fixture.request(path)).status).toBe(403)
  for (const path of ['/api/workers/w1/drain', `/api/tasks/task-${'0'.repeat(26)}/replay`, '/api/dead-notices/replay']) expect((await post(path, {}, fixture.keys.alice)).status).toBe(403)
})

const capabilities = { adopt: true, resume: true, steer: false, pause: false, usage: true, files: false }
const worker = (name: string, more: Partial<Heartbeat> = {}): Heartbeat => ({
  v: 1, name, host: 'h', version: '1.2.3', started_at: 1_000, slots: 3, running: 0, draining: false, modes: [], ...more,
})

describe('workers', () => {
  test('are listed as their heartbeats say, with the engine of each mode and the reason when it is off', async () => {
    operator = await connect(fixture.keys.operator)
    expect(await callOk(operator, 'list_workers')).toEqual({ workers: [] })
    const { beat } = createHeartbeats(fixture.redis, fixture.deployment)
    await beat(worker('w2', { draining: true, modes: [{ mode: 'opencode', ok: true, isolation: 'process', capabilities }] }))
    await beat(worker('w1', { running: 2, storage_id: 's1', modes: [
      { mode: 'docker', ok: false, reason: 'closed after 3 failures of its place, the next try at 12:00:10', engine_id: 'E1', isolation: 'container', capabilities },
    ] }))
    expect(await callOk(operator, 'list_workers')).toEqual({ workers: [
      { name: 'w1', host: 'h', version: '1.2.3', started_at: '1970-01-01T00:00:01.000Z', slots: 3, running: 2, draining: false, storage_id: 's1',
        modes: [{ mode: 'docker', available: false, isolation: 'container', engine_id: 'E1', reason: 'closed after 3 failures of its place, the next try at 12:00:10' }] },
      { name: 'w2', host: 'h', version: '1.2.3', started_at: '1970-01-01T00:00:01.000Z', slots: 3, running: 0, draining: true,
        modes: [{ mode: 'opencode', available: false, isolation: 'process' }] },
    ] })
    expect(await (await fixture.request('/api/health')).json()).toMatchObject({ status: 'degraded', modes: [{ mode: 'docker', available: false, reason: expect.stringContaining('closed after 3 failures') as string }, { mode: 'opencode' }] })
  })

  test('G12: one is asked to drain, and asked no more; asking twice is harmless', async () => {
    const { beat } = createHeartbeats(fixture.redis, fixture.deployment)
    const isDrainAsked = async () => (await beat(worker('w3', { running: 1 }))).isDrainAsked
    expect(await isDrainAsked()).toBe(false)
    const drain = async (body: object) => (await post('/api/workers/w3/drain', body)).json()
    expect(await drain({})).toMatchObject({ name: 'w3', draining: false, running: 1, message: expect.stringContaining('takes no more tasks') as string })
    expect(await drain({})).toMatchObject({ name: 'w3' })
    expect(await isDrainAsked()).toBe(true)
    expect(await drain({ undo: true })).toMatchObject({ message: expect.stringContaining('takes tasks again') as string })
    expect(await isDrainAsked()).toBe(false)
    expect(await drain({ undo: true })).toMatchObject({ message: expect.stringContaining('Nobody had asked') as string })
  })

  test('an unknown one is refused with the names of those that are alive', async () => {
    await createHeartbeats(fixture.redis, fixture.deployment).beat(worker('w4'))
    const answer = await post('/api/workers/w-4/drain')
    expect([answer.status, await answer.json()]).toMatchObject([400, { error: { code: 'invalid_input', field: 'name', message: 'name: no worker "w-4" is alive', next: expect.stringMatching(/^Alive: .*w4/) as string } }])
    expect(await fixture.redis.keys(`{ls:${fixture.deployment}}:drain:*`)).toEqual([])
    expect((await post('/api/workers/w-4/drain', { undo: true })).status).toBe(400)
  })

  test('what was asked of one that died since can be taken back', async () => {
    const { beat, remove } = createHeartbeats(fixture.redis, fixture.deployment)
    await beat(worker('w5'))
    await post('/api/workers/w5/drain')
    await fixture.redis.del(`{ls:${fixture.deployment}}:worker:w5`)
    expect(await (await post('/api/workers/w5/drain', { undo: true })).json()).toMatchObject({ draining: false, running: 0 })
    await remove('w5')
  })
})

/** A task of alice that took down its workers. */
async function poison(input: object = {}): Promise<TaskId> {
  const { task_id } = (await (await post('/api/tasks', { task_description: 'Break\nthings', ...input }, fixture.keys.alice)).json()) as { task_id: TaskId }
  const taken = await fixture.ledger.take({ task_id, n: 1 }, 'worker-test')
  if (taken.kind !== 'taken') throw new Error(taken.reason)
  await fixture.ledger.end({ taskId: task_id, claim: taken.task.claim }, { state: 'failed', payload: { failure: { code: 'poison', message: '5 workers died' } } })
  return task_id
}
const replay = async (taskId: string) => (await (await post(`/api/tasks/${taskId}/replay`)).json()) as { task_id: TaskId; error: { code: string; message: string } }
const listed = async (query = '') => ((await (await fixture.request(`/api/poisoned-tasks${query}`, { key: fixture.keys.operator })).json()) as { tasks: { task_id: string }[] }).tasks

describe('the list of poisoned tasks', () => {
  test('shows them newest first, page by page', async () => {
    const one = await poison()
    const two = await poison()
    expect(await listed('?limit=2')).toMatchObject([{ task_id: two, status: 'failed', error_code: 'poison', error: '5 workers died' }, { task_id: one }])
    expect(await listed('?limit=1&offset=1')).toMatchObject([{ task_id: one }])
    expect(await callOk(await connect(fixture.keys.operator), 'list_poisoned_tasks', { limit: 1 })).toMatchObject({ tasks: [{ task_id: two }] })
  })

  test('G3: a replay is a new task of the same agent with the same words and limits; the old one keeps its end', async () => {
    const input = { timeout_ms: 60_000, queue_ttl_ms: 70_000, max_attempts: 2, observers: ['@ann:x.org'], title: 'Breaking', idempotency_key: 'mine', network: 'provider', permissions: { bash: 'deny' }, input_ttl_ms: 90_000, workspace: { git: { url: 'https://git.example/a.git' } } }
    const old = await poison(input)
    const before = await fixture.ledger.get(old)
    const { idempotency_key: _, ...same } = input
    const answer = await replay(old)
    expect(answer).toMatchObject({ replayed_task_id: old, status: 'queued', agent_id: 'agent-alice', message: expect.stringContaining(old) as string })
    expect(answer.task_id).not.toBe(old)
    expect(await fixture.ledger.get(answer.task_id)).toMatchObject({ ...same, prompt: 'Break\nthings', agent_id: 'agent-alice', attempt: 0, state: 'queued' })
    expect(await fixture.ledger.get(old)).toEqual(before)
    expect((await listed()).map(({ task_id }) => task_id)).not.toContain(old)
    expect(await replay(old)).toMatchObject({ error: { code: 'not_supported', message: expect.stringContaining('replayed before') as string } })
  })

  test('G14: a replay may do no more than the task that it repeats, and works on the same: permissions, workspace, choices', async () => {
    const input = { permissions: { '*': 'deny' as const, read: 'allow' as const }, workspace: { name: 'app' }, input_ttl_ms: 90_000, budget_tokens: 1_000 }
    const { budget_tokens, ...same } = input
    const answer = await replay(await poison(input))
    expect(await fixture.ledger.get(answer.task_id)).toMatchObject({ ...same, budget: { tokens: budget_tokens } })
  })

  test('its mode is chosen anew, unless the caller had asked for one', async () => {
    const [any, asked] = [await poison(), await poison({ mode: 'docker' })]
    const share = (percent: number) => fixture.request('/api/rollout', { method: 'PUT', key: fixture.keys.operator, headers: { 'content-type': 'application/json' }, body: JSON.stringify({ opencode_percent: percent }) })
    await share(100)
    expect(await replay(any)).toMatchObject({ mode: 'opencode' })
    expect(await replay(asked)).toMatchObject({ mode: 'docker' })
    await share(0)
  })

  test('G2: the same replay sent twice at once, or again after it was cut short, gives one task', async () => {
    const old = await poison()
    const answers = (await Promise.all([replay(old), replay(old), replay(old)])).filter((answer) => 'task_id' in answer)
    expect(new Set(answers.map(({ task_id }) => task_id)).size).toBe(1)
    // As a gateway leaves it that died between the submit and the list.
    await fixture.redis.zadd(`{ls:${fixture.deployment}}:poisoned`, Date.now(), old)
    expect((await replay(old)).task_id).toBe(answers[0]?.task_id)
    expect((await listed()).map(({ task_id }) => task_id)).not.toContain(old)
  })

  test('nothing else can be replayed: a live task, another end, an unknown id', async () => {
    const { task_id } = (await (await post('/api/tasks', { task_description: 'x' }, fixture.keys.alice)).json()) as { task_id: string }
    expect(await replay(task_id)).toMatchObject({ error: { code: 'not_supported', message: `only a poisoned task can be replayed; ${task_id} is queued` } })
    await post(`/api/tasks/${task_id}/control`, { control: 'cancel' })
    expect(await replay(task_id)).toMatchObject({ error: { code: 'not_supported', message: expect.stringContaining('is cancelled') as string } })
    expect(await replay(`task-${'0'.repeat(26)}`)).toMatchObject({ error: { code: 'task_not_found' } })
  })
})
