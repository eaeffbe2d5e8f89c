import { randomBytes } from 'node:crypto'
import { request as httpRequest } from 'node:http'

import { NewTask, taskIdFrom } from '@longshore/contracts'
import { createHeartbeats, type Heartbeat } from '@longshore/queue'
import { waitFor } from '@longshore/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type GatewayFixture, startGatewayFixture } from './gateway-fixture.ts'

let fixture: GatewayFixture

beforeAll(async () => {
  fixture = await startGatewayFixture({ MCP_ALLOWED_ORIGINS: 'https://console.example', MCP_ALLOWED_HOSTS: 'gateway.internal', CANARY_OPENCODE_PERCENT: '0' })
})
afterAll(() => fixture.stop())

const json = (body: unknown) => ({ method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
const submit = async (input: object = {}, key = fixture.keys.alice) => {
  const answer = await fixture.request('/api/tasks', { ...json({ task_description: 'x', ...input }), key })
  return (await answer.json()) as { task_id: string; mode: string }
}

/** fetch sets the Host header itself, so this asks by hand. */
function statusFor(path: string, host: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    httpRequest(`${fixture.url}${path}`, { headers: { host, authorization: `Bearer ${fixture.keys.alice}` } }, (response) => {
      response.resume()
      resolve(response.statusCode)
    }).once('error', reject).end()
  })
}

describe('L-05: who may call from where', () => {
  test.each([
    ['http://localhost.evil.example', 403], ['http://localhost:3000.evil.example', 403], ['http://evil.example/localhost', 403], ['http://localhost@evil.example', 403],
    ['https://console.example.evil.example', 403], ['http://console.example', 403], ['https://console.example:444', 403], ['null', 403], ['file://', 403],
    ['http://localhost:5173', 200], ['http://127.0.0.1', 200], ['http://[::1]:8080', 200], ['https://console.example', 200],
  ])('Origin %s gets %d', async (origin, status) => {
    const answer = await fixture.request('/api/ping', { headers: { origin } })
    expect(answer.status).toBe(status)
    expect(answer.headers.get('access-control-allow-origin')).toBe(status === 200 ? origin : null)
    expect(await answer.json()).toMatchObject(status === 200 ? { status: 'ok' } : { error: { code: 'origin_forbidden' } })
  })

  test('an evil Origin does not reach the tools either', async () => {
    const answer = await fixture.request('/mcp', { ...json({ jsonrpc: '2.0', id: 1, method: 'ping' }), headers: { 'content-type': 'application/json', origin: 'http://localhost.evil.example' } })
    expect(answer.status).toBe(403)
  })

  test.each([
    ['localhost:3456', 200], ['127.0.0.1', 200], ['[::1]:3456', 200], ['gateway.internal:3456', 200],
    ['evil.example', 403], ['localhost.evil.example', 403], ['127.0.0.1.evil.example:3456', 403], ['evil@localhost', 403],
  ])('Host %s gets %d', async (host, status) => {
    expect(await statusFor('/api/ping', host)).toBe(status)
  })

  test('a preflight of an allowed page is answered without a key', async () => {
    const answer = await fetch(`${fixture.url}/mcp`, { method: 'OPTIONS', headers: { origin: 'http://localhost:5173', 'access-control-request-method': 'POST' } })
    expect(answer.status).toBe(204)
    expect(answer.headers.get('access-control-allow-headers')).toContain('authorization')
  })
})

describe('keys', () => {
  test.each([['', {}], ['a wrong key', { authorization: 'Bearer lsa_nope' }], ['basic auth', { authorization: 'Basic YTpi' }]])('%s is 401 and says how to', async (_, headers) => {
    for (const path of ['/mcp', '/api/tasks']) {
      const answer = await fetch(`${fixture.url}${path}`, { ...json({}), headers: { 'content-type': 'application/json', ...headers } })
      expect(answer.status).toBe(401)
      expect(answer.headers.get('www-authenticate')).toBe('Bearer realm="longshore"')
      expect(await answer.json()).toMatchObject({ error: { code: 'unauthorized' } })
    }
  })

  test('a key in the query string is none', async () => {
    expect((await fetch(`${fixture.url}/api/ping?key=${fixture.keys.alice}&access_token=${fixture.keys.alice}`)).status).toBe(401)
  })

  test('a revoked key stops working within seconds', async () => {
    const { key, apiKey } = await fixture.apiKeys.make({ agentId: 'agent-x' }, 'short-lived')
    expect((await fixture.request('/api/ping', { key })).status).toBe(200)
    await fixture.apiKeys.revoke(apiKey.id)
    await waitFor(async () => (await fixture.request('/api/ping', { key })).status === 401, { what: 'the refusal', timeoutMs: 10_000 })
  })
})

describe('the protocol of /mcp', () => {
  test.each(['GET', 'DELETE'])('%s is 405: nothing is kept between requests', async (method) => {
    expect((await fixture.request('/mcp', { method, headers: { accept: 'text/event-stream' } })).status).toBe(405)
  })

  test('what is not JSON is a parse error', async () => {
    const answer = await fixture.request('/mcp', { method: 'POST', headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream' }, body: '{"jsonrpc":' })
    expect(answer.status).toBe(400)
    expect(await answer.json()).toMatchObject({ error: { code: -32_700 } })
  })

  test('a body beyond the limit is refused without being read', async () => {
    for (const path of ['/mcp', '/api/tasks']) {
      const answer = await fixture.request(path, json({ task_description: 'x'.repeat(5_000_000) }))
      expect(answer.status).toBe(413)
      expect(await answer.json()).toMatchObject({ error: { code: 'payload_too_large' } })
    }
  })
})

describe('the HTTP door', () => {
  test('submits, reads, lists and cancels with the answers of the tools', async () => {
    const submitted = await fixture.request('/api/tasks', json({ task_description: 'over HTTP', mode: 'docker' }))
    expect(submitted.status).toBe(202)
    const { task_id } = (await submitted.json()) as { task_id: string }
    expect(await (await fixture.request(`/api/tasks/${task_id}`)).json()).toMatchObject({ task_id, status: 'queued', title: 'over HTTP', mode: 'docker' })
    expect(await (await fixture.request('/api/tasks?limit=1')).json()).toMatchObject({ tasks: [{ task_id }] })
    expect(await (await fixture.request(`/api/tasks/${task_id}/history?events_limit=5&include_artifacts=true`)).json()).toMatchObject({ events_returned: 1, artifacts: [] })
    const cancelled = await fixture.request(`/api/tasks/${task_id}/control`, json({ control: 'cancel' }))
    expect(await cancelled.json()).toMatchObject({ status: 'cancelled' })
  })

  test.each([
    ['GET', '/api/tasks/task-00000000000000000000000000', undefined, 404, 'task_not_found'],
    ['GET', '/api/tasks?limit=many', undefined, 400, 'invalid_input'],
    ['GET', '/api/tasks?limt=5', undefined, 400, 'invalid_input'],
    ['GET', '/api/tasks?constructor=5', undefined, 400, 'invalid_input'],
    ['GET', '/api/tasks?__proto__=5', undefined, 400, 'invalid_input'],
    ['GET', '/api/tasks/%E0%A4%A', undefined, 400, 'invalid_input'],
    ['POST', '/api/tasks', '{', 400, 'invalid_input'],
    ['POST', '/api/tasks', '[]', 400, 'invalid_input'],
    ['DELETE', '/api/tasks', undefined, 404, 'unknown_operation'],
    ['GET', '/api/nothing', undefined, 404, 'unknown_operation'],
    ['GET', '/elsewhere', undefined, 404, 'unknown_operation'],
  ])('%s %s is refused with a code', async (method, path, body, status, code) => {
    const answer = await fixture.request(path, { method, ...(body === undefined ? {} : { body }) })
    expect(answer.status).toBe(status)
    expect(await answer.json()).toMatchObject({ error: { code } })
  })

  test('G11: lists show an agent its own tasks only', async () => {
    const { task_id } = await submit({}, fixture.keys.bob)
    const listed = async (query: string, key: string) => JSON.stringify(await (await fixture.request(`/api/tasks${query}`, { key })).json())
    expect(await listed('', fixture.keys.alice)).not.toContain(task_id)
    expect(await listed('?agent_id=agent-bob', fixture.keys.alice)).toContain('forbidden')
    expect(await listed('?agent_id=agent-bob', fixture.keys.operator)).toContain(task_id)
  })

  test('the share is an operator\'s to change, and holds for the next submit', async () => {
    expect((await submit()).mode).toBe('docker')
    expect((await fixture.request('/api/rollout')).status).toBe(403)
    const put = (percent: unknown) => fixture.request('/api/rollout', { ...json({ opencode_percent: percent }), method: 'PUT', key: fixture.keys.operator })
    expect((await put(101)).status).toBe(400)
    expect(await (await put(100)).json()).toMatchObject({ opencode_percent: 100, updated_by: expect.stringMatching(/^operator:key-/) as string })
    expect((await submit()).mode).toBe('opencode')
    expect((await submit({ mode: 'docker' })).mode).toBe('docker')
    expect(await (await fixture.request('/api/rollout', { key: fixture.keys.operator })).json()).toMatchObject({ opencode_percent: 100 })
  })

  test('another replica obeys a changed share within a second or so', async () => {
    const other = await fixture.replica()
    const modeThere = async () => {
      const answer = await fetch(`${other.url}/api/tasks`, { ...json({ task_description: 'x' }), headers: { 'content-type': 'application/json', authorization: `Bearer ${fixture.keys.alice}` } })
      return ((await answer.json()) as { mode: string }).mode
    }
    for (const [percent, mode] of [[100, 'opencode'], [0, 'docker']] as const) {
      await fixture.request('/api/rollout', { ...json({ opencode_percent: percent }), method: 'PUT', key: fixture.keys.operator })
      expect(await waitFor(async () => (await modeThere()) === mode, { what: mode, timeoutMs: 10_000 })).toBe(true)
    }
  })
})

test('large events make an answer shorter, never larger, and none is lost', async () => {
  const { task } = await fixture.ledger.submit(NewTask.parse({ id: taskIdFrom(randomBytes(52)), agent_id: 'agent-alice', prompt: 'p', title: 't', mode: 'docker' }))
  await fixture.ledger.take({ task_id: task.id, n: 1 }, 'worker-test')
  await fixture.ledger.append({ taskId: task.id, claim: 1 }, Array.from({ length: 150 }, () => ({ type: 'task.output' as const, payload: { text: 'y'.repeat(15_000), stream: 'agent' as const } })))
  const seen: number[] = []
  for (let cursor = '0', isMore = true; isMore;) {
    const text = await (await fixture.request(`/api/tasks/${task.id}/history?events_limit=-1&cursor=${cursor}`)).text()
    expect(text.length).toBeLessThan(1_200_000)
    const page = JSON.parse(text) as { events: { seq: number }[]; next_cursor: string; has_more_events: boolean }
    seen.push(...page.events.map(({ seq }) => seq))
    cursor = page.next_cursor
    isMore = page.has_more_events
  }
  expect(seen).toEqual(Array.from({ length: 152 }, (_, i) => i + 1))
})

describe('how the gateway stands', () => {
  test('/health tells of the process, with the isolation of each mode (no key needed)', async () => {
    const heartbeats = createHeartbeats(fixture.redis, fixture.deployment)
    const capabilities = { adopt: true, resume: true, steer: false, pause: false, usage: true, files: false }
    const heartbeat: Heartbeat = {
      v: 1, name: 'w1', host: 'h', version: '1', started_at: 1, slots: 3, running: 0, draining: false,
      modes: [{ mode: 'opencode', ok: true, isolation: 'process', capabilities }, { mode: 'docker', ok: false, reason: 'no engine answers', isolation: 'container', capabilities }],
    }
    await heartbeats.beat(heartbeat)
    // It waits for its Redis half a second at most.
    await expect.poll(async () => (await fetch(`${fixture.url}/health`)).json()).toMatchObject({
      status: 'ok', version: '9.9.9-test', memory: { rss: expect.any(Number) as number },
      modes: [{ mode: 'docker', available: false, isolation: 'container' }, { mode: 'opencode', available: true, isolation: 'process' }],
    })
    expect(await (await fixture.request('/api/health')).json()).toMatchObject({
      status: 'healthy', modes: [{ mode: 'docker', available: false, reason: 'no engine answers' }, { mode: 'opencode', workers: 1, slots: 3 }],
    })
  })

  test('/ready names each reason', async () => {
    const answer = await fetch(`${fixture.url}/ready`)
    const { ready, checks } = (await answer.json()) as { ready: boolean; checks: { name: string; ok: boolean }[] }
    // The Redis of the tests keeps nothing, on purpose.
    expect([answer.status, ready]).toEqual([503, false])
    expect(checks.filter((check) => !check.ok).map((check) => check.name)).toEqual(['aof'])
  })

  test('/metrics counts tasks by state, calls by answer, and submits by time', async () => {
    await submit()
    await fixture.request('/api/tasks/task-00000000000000000000000000')
    const metrics = async () => (await fetch(`${fixture.url}/metrics`)).text()
    // It waits for its Redis a second at most.
    await expect.poll(metrics).toMatch(/longshore_tasks\{state="queued",app="gateway"\} [1-9]/)
    const text = await metrics()
    expect(text).toMatch(/longshore_api_requests_total\{operation="opencode_execute_task",code="ok",app="gateway"\} [1-9]/)
    expect(text).toMatch(/longshore_api_requests_total\{operation="get_task_status",code="task_not_found",app="gateway"\} [1-9]/)
    expect(text).toMatch(/longshore_submit_duration_seconds_count\{app="gateway"\} [1-9]/)
  })
})
