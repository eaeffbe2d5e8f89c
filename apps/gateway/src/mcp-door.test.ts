import { parseCursor, type TaskId } from '@longshore/contracts'
import { waitFor } from '@longshore/testkit'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type GatewayFixture, startGatewayFixture } from './gateway-fixture.ts'
import { callOk, callRefused, CLIENT_KINDS, connectClient, type TestClient } from './mcp-clients.ts'

let fixture: GatewayFixture
const open: TestClient[] = []

beforeAll(async () => {
  fixture = await startGatewayFixture({ SYNC_WAIT_MS: '6000' })
})
afterAll(() => fixture.stop())
afterEach(async () => {
  for (const client of open.splice(0)) await client.close()
})

async function connect(kind: (typeof CLIENT_KINDS)[number] = '1.x client', key = fixture.keys.alice, headers?: Record<string, string>): Promise<TestClient> {
  const client = await connectClient(kind, fixture.url, key, headers)
  open.push(client)
  return client
}

/** Everything that a submit leaves, besides the queue's own. */
async function kept(): Promise<string[]> {
  const found = await Promise.all(['task', 'log', 'idem', 'prompt'].map((kind) => fixture.redis.keys(`{ls:${fixture.deployment}}:${kind}:*`)))
  return found.flat().toSorted()
}

/** Runs the task to its end, as a worker would. */
async function complete(taskId: TaskId): Promise<void> {
  const taken = await fixture.ledger.take({ task_id: taskId, n: 1 }, 'worker-test')
  if (taken.kind !== 'taken') throw new Error(`not taken: ${taken.reason}`)
  const claim = { taskId, claim: taken.task.claim }
  await fixture.ledger.append(claim, [{ type: 'task.output', payload: { text: 'working\non it', stream: 'agent' } }])
  await fixture.ledger.end(claim, { state: 'completed', payload: { result: { output: 'all done', output_truncated: false, exit_code: 0, files_changed: 2 } } })
}

describe.each(CLIENT_KINDS)('with a %s', (kind) => {
  test('the tools are listed in order, each with input, output and all four hints', async () => {
    const { tools } = await (await connect(kind)).listTools()
    expect(tools.map((tool) => tool.name)).toEqual(['opencode_execute_task', 'get_task_status', 'get_task_history', 'send_task_message', 'send_task_control', 'get_task_files', 'read_task_file', 'get_task_diff', 'get_task_output', 'get_task_archive', 'get_usage', 'ping', 'health', 'search_tasks', 'archive_task_conversation', 'get_task_conversation', 'export_task', 'add_task_observer', 'remove_task_observer', 'list_task_observers'])
    for (const tool of tools) {
      expect(tool).toMatchObject({
        title: expect.any(String) as string,
        inputSchema: { type: 'object', additionalProperties: false },
        outputSchema: { type: 'object' },
        annotations: { readOnlyHint: expect.any(Boolean), destructiveHint: expect.any(Boolean), idempotentHint: expect.any(Boolean), openWorldHint: expect.any(Boolean) },
      })
      const { properties = {} } = tool['inputSchema'] as { properties?: Record<string, { description?: string }> }
      for (const [name, schema] of Object.entries(properties)) expect(schema.description, `${tool.name}.${name}`).toBeTruthy()
    }
  })

  test('a task is submitted, read while it waits, and read once it is over', async () => {
    const client = await connect(kind)
    await client.listTools() // so that the client holds results against the output schemas
    const submitted = await callOk(client, 'opencode_execute_task', { task_description: '\nFix the bug\nin main.ts', timeout_ms: 60_000, mode: 'opencode' })
    expect(submitted).toMatchObject({ status: 'queued', title: 'Fix the bug', agent_id: 'agent-alice', mode: 'opencode', timeout_ms: 60_000, is_new: true })
    const task_id = submitted['task_id'] as TaskId
    expect(await callOk(client, 'get_task_status', { task_id })).toMatchObject({ status: 'queued', recent_events: [{ seq: 1, type: 'task.queued' }] })
    await complete(task_id)
    const status = await callOk(client, 'get_task_status', { task_id })
    expect(status).toMatchObject({ status: 'completed', output: 'all done', exit_code: 0, files_changed: 2, attempt: 1 })
    expect(status['completed_at']).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/)
    const history = await callOk(client, 'get_task_history', { task_id, include_artifacts: true })
    expect((history['events'] as { type: string; seq: number }[]).map(({ seq, type }) => [seq, type])).toEqual([
      [1, 'task.queued'], [2, 'task.started'], [3, 'task.output'], [4, 'task.completed'],
    ])
    expect(history).toMatchObject({ status: 'completed', events_total: 4, events_returned: 4, events_offset: 0, has_more_events: false,
      artifacts: [{ type: 'output', name: 'execution_output', content: 'all done' }] })
  })

  test('L-07: ping and health need no arguments at all', async () => {
    const client = await connect(kind)
    expect(await callOk(client, 'ping')).toMatchObject({ status: 'ok' })
    expect(await callOk(client, 'health')).toMatchObject({ status: 'degraded', version: '9.9.9-test', modes: [] })
  })

  test('an unknown tool is refused by name, with the tools that there are', async () => {
    const client = await connect(kind)
    await expect(client.callTool({ name: 'format_disk', arguments: {} })).rejects.toThrow(/unknown tool "format_disk".*get_task_status/)
  })

  test('an unknown task is an error of the call, not of the protocol', async () => {
    const client = await connect(kind)
    expect(await callRefused(client, 'get_task_status', { task_id: `task-${'0'.repeat(26)}` })).toMatchObject({ code: 'task_not_found', field: 'task_id' })
  })

  test('a wrong key is told so', async () => {
    await expect(connectClient(kind, fixture.url, 'lsa_wrong')).rejects.toThrow(/401|unauthorized/i)
  })
})

test('L-01: two clients at once get every answer', async () => {
  const clients = await Promise.all([connect('1.x client'), connect('2.x client, legacy era'), connect('2.x client, 2026-07-28 era')])
  for (let round = 0; round < 3; round += 1) {
    const answers = await Promise.all(clients.flatMap((client) => [callOk(client, 'ping'), callOk(client, 'opencode_execute_task', { task_description: 'x' })]))
    expect(answers).toHaveLength(6)
  }
})

describe('bad input is refused with its own words, and leaves nothing', () => {
  test.each([
    ['a missing parameter', 'opencode_execute_task', {}, 'task_description', 'invalid_input', /task_description/],
    ['an empty prompt', 'opencode_execute_task', { task_description: '' }, 'task_description', 'invalid_input', /empty/],
    ['an unknown parameter', 'opencode_execute_task', { task_description: 'x', promt: 'y' }, 'promt', 'invalid_input', /unknown parameter "promt"/],
    ['a prompt of 2 MB', 'opencode_execute_task', { task_description: 'x'.repeat(2_000_000) }, 'task_description', 'invalid_input', /262144 bytes/],
    ['L-44: a negative timeout', 'opencode_execute_task', { task_description: 'x', timeout_ms: -1 }, 'timeout_ms', 'invalid_input', /1000/],
    ['L-44: an absurd timeout', 'opencode_execute_task', { task_description: 'x', timeout_ms: 1e15 }, 'timeout_ms', 'invalid_input', /86400000/],
    ['L-44: a timeout that is no number', 'opencode_execute_task', { task_description: 'x', timeout_ms: 'soon' }, 'timeout_ms', 'invalid_input', /number/],
    ['a time in the queue that is too short', 'opencode_execute_task', { task_description: 'x', queue_ttl_ms: 999 }, 'queue_ttl_ms', 'invalid_input', /1000/],
    ['a time in the queue of years', 'opencode_execute_task', { task_description: 'x', queue_ttl_ms: 1e11 }, 'queue_ttl_ms', 'invalid_input', /2592000000/],
    ['L-44: an observer that is none', 'opencode_execute_task', { task_description: 'x', observers: ['bob'] }, 'observers[0]', 'invalid_input', /@name:server/],
    ['L-44: too many observers', 'opencode_execute_task', { task_description: 'x', observers: Array.from({ length: 51 }, (_, i) => `@u${i}:x.org`) }, 'observers', 'invalid_input', /50/],
    ['half a character as observer', 'opencode_execute_task', { task_description: 'x', observers: ['@\ud800:x.org'] }, 'observers[0]', 'invalid_input', /Unicode/],
    ['half a character as idempotency key', 'opencode_execute_task', { task_description: 'x', idempotency_key: '\ud800' }, 'idempotency_key', 'invalid_input', /Unicode/],
    ['an unknown mode', 'opencode_execute_task', { task_description: 'x', mode: 'vm' }, 'mode', 'invalid_input', /docker/],
    ['L-06: another agent\'s id', 'opencode_execute_task', { task_description: 'x', agent_id: 'agent-bob' }, 'agent_id', 'forbidden', /another agent/],
    ['an unknown control', 'send_task_control', { task_id: 'x', control: 'explode' }, 'control', 'invalid_input', /cancel/],
    ['an id of the wrong shape', 'get_task_status', { task_id: '../../etc/passwd' }, 'task_id', 'task_not_found', /no task/],
    ['a cursor of nobody\'s', 'get_task_history', { task_id: 'x', cursor: 'abc' }, 'cursor', 'invalid_input', /cursor/],
  ])('%s', async (_, tool, args, field, code, message) => {
    const before = await kept()
    const refusal = await callRefused(await connect(), tool, args)
    expect(refusal).toMatchObject({ code, field })
    expect(refusal.message).toMatch(message)
    expect(JSON.stringify(refusal).length).toBeLessThan(1_000)
    expect(await kept()).toEqual(before)
  })

  test('an unknown parameter comes with the list of the allowed ones', async () => {
    expect((await callRefused(await connect(), 'get_task_status', { task_id: 'x', id: 'y' })).next).toBe('Allowed: task_id.')
  })
})

describe('G11: owned', () => {
  test('an unknown task and another agent\'s get the same bytes besides the id', async () => {
    const bob = await connect('1.x client', fixture.keys.bob)
    const foreign = (await callOk(await connect(), 'opencode_execute_task', { task_description: 'secret' }))['task_id'] as string
    const unknown = `task-${'z'.repeat(26)}`
    for (const [tool, more] of [['get_task_status', {}], ['get_task_history', {}], ['send_task_control', { control: 'cancel' }], ['send_task_control', { control: 'pause' }]] as const) {
      const [a, b] = await Promise.all([foreign, unknown].map(async (task_id) => JSON.stringify(await callRefused(bob, tool, { task_id, ...more })).replaceAll(task_id, 'ID')))
      expect(a).toBe(b)
      expect(a).toContain('task_not_found')
    }
    expect(await fixture.ledger.get(foreign)).toMatchObject({ state: 'queued' })
  })

  test('L-06: x-agent-id is no identity: another agent\'s is refused, one\'s own is fine', async () => {
    const forged = await connect('1.x client', fixture.keys.alice, { 'x-agent-id': 'agent-bob' })
    expect(await callRefused(forged, 'opencode_execute_task', { task_description: 'x' })).toMatchObject({ code: 'forbidden', field: 'x-agent-id' })
    const honest = await connect('1.x client', fixture.keys.alice, { 'x-agent-id': 'agent-alice' })
    expect(await callOk(honest, 'opencode_execute_task', { task_description: 'x', agent_id: 'agent-alice' })).toMatchObject({ agent_id: 'agent-alice' })
  })

  test('an operator names the agent, and sees every agent\'s tasks', async () => {
    const operator = await connect('1.x client', fixture.keys.operator)
    expect(await callRefused(operator, 'opencode_execute_task', { task_description: 'x' })).toMatchObject({ code: 'invalid_input', field: 'agent_id' })
    const { task_id } = await callOk(operator, 'opencode_execute_task', { task_description: 'x', agent_id: 'agent-bob' })
    expect(await callOk(await connect('1.x client', fixture.keys.bob), 'get_task_status', { task_id })).toMatchObject({ agent_id: 'agent-bob' })
    const headed = await connect('1.x client', fixture.keys.operator, { 'x-agent-id': 'agent-carol' })
    expect(await callOk(headed, 'opencode_execute_task', { task_description: 'x' })).toMatchObject({ agent_id: 'agent-carol' })
    const bad = await connect('1.x client', fixture.keys.operator, { 'x-agent-id': 'a b' })
    expect(await callRefused(bad, 'opencode_execute_task', { task_description: 'x' })).toMatchObject({ code: 'invalid_input', field: 'x-agent-id' })
  })
})

describe('G2: submit once', () => {
  test('L-09: a repeated key gets its task, queued and over, also from another replica', async () => {
    const args = { task_description: 'once', idempotency_key: 'key-9' }
    const client = await connect()
    const { task_id } = await callOk(client, 'opencode_execute_task', args)
    const other = await connectClient('2.x client, 2026-07-28 era', (await fixture.replica()).url, fixture.keys.alice)
    open.push(other)
    expect(await callOk(other, 'opencode_execute_task', args)).toMatchObject({ task_id, is_new: false, status: 'queued', message: expect.stringContaining('already exists') as string })
    await complete(task_id as TaskId)
    expect(await callOk(client, 'opencode_execute_task', args)).toMatchObject({ task_id, is_new: false, status: 'completed', output: 'all done' })
  })

  test('L-10: two agents never share a key', async () => {
    const args = { task_description: 'mine', idempotency_key: 'shared-key' }
    const mine = await callOk(await connect(), 'opencode_execute_task', args)
    const theirs = await callOk(await connect('1.x client', fixture.keys.bob), 'opencode_execute_task', { ...args, task_description: 'other' })
    expect(theirs['task_id']).not.toBe(mine['task_id'])
  })

  test('the same key with other input is a conflict', async () => {
    const client = await connect()
    await callOk(client, 'opencode_execute_task', { task_description: 'one', idempotency_key: 'key-c' })
    expect(await callRefused(client, 'opencode_execute_task', { task_description: 'two', idempotency_key: 'key-c' })).toMatchObject({ code: 'idempotency_conflict' })
  })

  test('a refused submit leaves the key free (L-11)', async () => {
    const client = await connect()
    await callRefused(client, 'opencode_execute_task', { task_description: 'x', idempotency_key: 'key-f', timeout_ms: 1 })
    expect(await callOk(client, 'opencode_execute_task', { task_description: 'x', idempotency_key: 'key-f' })).toMatchObject({ is_new: true })
  })
})

describe('sync', () => {
  test('waits for the end and brings the result', async () => {
    const client = await connect()
    const answer = callOk(client, 'opencode_execute_task', { task_description: 'x', sync: true, idempotency_key: 'sync-1' })
    const task = await waitFor(async () => {
      const [newest] = await fixture.ledger.list({ agentId: 'agent-alice', limit: 1 })
      return newest?.idempotency_key === 'sync-1' ? newest : undefined
    }, { what: 'the submitted task' })
    await complete(task.id)
    expect(await answer).toMatchObject({ status: 'completed', output: 'all done', exit_code: 0 })
  })

  test('answers with the task as it stands, and a hint, when the wait is over', async () => {
    const answer = await callOk(await connect(), 'opencode_execute_task', { task_description: 'x', sync: true })
    expect(answer).toMatchObject({ status: 'queued', timeout_hint: expect.stringContaining('get_task_status') as string })
  })
})

test('G9: a task waits for its first start as long as it asks for, else as the deployment says', async () => {
  const client = await connect()
  const asked = await callOk(client, 'opencode_execute_task', { task_description: 'x', queue_ttl_ms: 90_000 })
  expect(asked).toMatchObject({ status: 'queued', queue_ttl_ms: 90_000 })
  expect(await fixture.ledger.get(asked['task_id'] as TaskId)).toMatchObject({ queue_ttl_ms: 90_000 })
  expect(await callOk(client, 'opencode_execute_task', { task_description: 'x' })).toMatchObject({ queue_ttl_ms: 86_400_000 })
})

describe('control', () => {
  test('L-02: cancel ends a waiting task, and asking again is harmless', async () => {
    const client = await connect()
    const { task_id } = await callOk(client, 'opencode_execute_task', { task_description: 'x' })
    expect(await callOk(client, 'send_task_control', { task_id, control: 'cancel', reason: 'changed my mind' })).toMatchObject({ outcome: 'ended', status: 'cancelled' })
    expect(await callOk(client, 'send_task_control', { task_id, control: 'cancel' })).toMatchObject({ outcome: 'already_over', status: 'cancelled' })
    const { events } = await callOk(client, 'get_task_history', { task_id })
    expect(events).toMatchObject([{ type: 'task.queued' }, { type: 'task.cancelled', data: { by: 'agent-alice', reason: 'changed my mind' } }])
  })

  test('cancel of a running task is asked of its worker', async () => {
    const client = await connect()
    const { task_id } = await callOk(client, 'opencode_execute_task', { task_description: 'x' })
    await fixture.ledger.take({ task_id: task_id as TaskId, n: 1 }, 'worker-test')
    expect(await callOk(client, 'send_task_control', { task_id, control: 'cancel' })).toMatchObject({ outcome: 'requested', status: 'running' })
    expect(await callOk(client, 'get_task_status', { task_id })).toMatchObject({ cancel_requested: true })
  })

  test('L-12: a task that is over otherwise cannot be cancelled', async () => {
    const client = await connect()
    const { task_id } = await callOk(client, 'opencode_execute_task', { task_description: 'x' })
    await complete(task_id as TaskId)
    expect(await callRefused(client, 'send_task_control', { task_id, control: 'cancel' })).toMatchObject({ code: 'task_over' })
  })
})

describe('G6: history from a cursor', () => {
  test('page by page, by offset, and all at once, every event comes once', async () => {
    const client = await connect()
    const { task_id } = await callOk(client, 'opencode_execute_task', { task_description: 'x' })
    const taken = await fixture.ledger.take({ task_id: task_id as TaskId, n: 1 }, 'worker-test')
    const claim = { taskId: task_id as TaskId, claim: taken.kind === 'taken' ? taken.task.claim : 0 }
    await fixture.ledger.append(claim, Array.from({ length: 9 }, (_, i) => ({ type: 'task.output' as const, payload: { text: `line ${i}`, stream: 'agent' as const } })))
    const seen: number[] = []
    for (let cursor: string | undefined, more = true; more;) {
      const page = await callOk(client, 'get_task_history', { task_id, events_limit: 4, ...(cursor === undefined ? {} : { cursor }) })
      seen.push(...(page['events'] as { seq: number }[]).map(({ seq }) => seq))
      cursor = page['next_cursor'] as string
      more = page['has_more_events'] as boolean
    }
    expect(seen).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
    expect(await callOk(client, 'get_task_history', { task_id, events_offset: 9, events_limit: -1 })).toMatchObject({ events_returned: 2, events_offset: 9, events: [{ seq: 10 }, { seq: 11 }] })
    expect(await callOk(client, 'get_task_history', { task_id, events_offset: 50 })).toMatchObject({ events_returned: 0, has_more_events: false, next_cursor: expect.stringMatching(/^11-/) as string })
    expect(await callOk(client, 'get_task_history', { task_id, events_limit: 0 })).toMatchObject({ events_returned: 0, has_more_events: true })
  })

  test('a cursor of another history is answered with cursor_reset, never with silence', async () => {
    const client = await connect()
    const { task_id } = await callOk(client, 'opencode_execute_task', { task_description: 'x' })
    const foreign = '1-01HZZZZZZZZZZZZZZZZZZZZZZZ'
    expect(parseCursor(foreign)).toBeDefined()
    const page = await callOk(client, 'get_task_history', { task_id, cursor: foreign })
    expect(page).toMatchObject({ cursor_reset: { earliest_seq: 1 }, events: [], has_more_events: true })
    expect(await callOk(client, 'get_task_history', { task_id, cursor: page['next_cursor'] })).toMatchObject({ events: [{ seq: 1 }] })
  })
})
