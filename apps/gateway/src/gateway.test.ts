import { SILENT, type Log } from '@longshore/contracts'
import { createTicketProducer } from '@longshore/queue'
import { loadSettings } from '@longshore/runtime'
import { type RedisServer, startRedis, waitFor } from '@longshore/testkit'
import { afterEach, expect, test } from 'vitest'
import { createGateway } from './gateway.ts'
import { type GatewayFixture, startGatewayFixture } from './gateway-fixture.ts'
import { callOk, callRefused, connectClient } from './mcp-clients.ts'

const open: { stop(): Promise<void> }[] = []
afterEach(async () => {
  for (const one of open.splice(0).toReversed()) await one.stop()
})

/** A gateway on a Redis of its own. */
async function ownRedis(env?: Record<string, string>): Promise<{ redis: RedisServer; fixture: GatewayFixture }> {
  const redis = await startRedis({ aof: 'always' })
  open.push(redis)
  const fixture = await startGatewayFixture(env, redis.url)
  open.push(fixture)
  return { redis, fixture }
}

test('an accepted task has its readable ticket in the queue, without the prompt', async () => {
  const { redis, fixture } = await ownRedis()
  const client = await connectClient('2.x client, 2026-07-28 era', fixture.url, fixture.keys.alice)
  await callOk(client, 'opencode_execute_task', { task_description: 'Paint it\nwith a secret', mode: 'docker' })
  const producer = createTicketProducer({ redisUrl: redis.url, deployment: fixture.deployment, log: SILENT })
  open.push({ stop: producer.close })
  await waitFor(async () => (await producer.counts().catch(() => undefined))?.docker.waiting === 1, { what: 'the ticket' })
  await waitFor(async () => (await fixture.ledger.pendingTickets(10)).length === 0, { what: 'the ledger to know' })
  const keys = await fixture.redis.keys(`{ls:${fixture.deployment}}:q:docker:task-*`)
  expect(keys).toHaveLength(1)
  const job = JSON.stringify(await fixture.redis.hgetall(keys[0] ?? ''))
  expect(job).toContain('Paint it')
  expect(job).not.toContain('secret')
  await client.close()
})

test('G1: what a gateway accepted before it died reaches the queue through another', async () => {
  const { redis, fixture } = await ownRedis()
  // As a gateway that was killed right after the ledger's answer leaves it.
  await fixture.ledger.submit({
    id: `task-${'a'.repeat(26)}`, agent_id: 'agent-alice', prompt: 'x', title: 'x', mode: 'opencode', profile: 'opencode', timeout_ms: 60_000, max_attempts: 3, observers: [],
  })
  const producer = createTicketProducer({ redisUrl: redis.url, deployment: fixture.deployment, log: SILENT })
  open.push({ stop: producer.close })
  await waitFor(async () => (await producer.counts().catch(() => undefined))?.opencode.waiting === 1, { what: 'the ticket' })
  expect(await waitFor(async () => (await fixture.ledger.pendingTickets(10)).length === 0, { what: 'the ledger to know' })).toBe(true)
})

test('with Redis down a submit is refused readably and at once, leaves nothing, and works again by itself', async () => {
  const { redis, fixture } = await ownRedis()
  const client = await connectClient('1.x client', fixture.url, fixture.keys.alice)
  await callOk(client, 'ping')
  await redis.kill9()
  const refusal = await waitFor(() => callRefused(client, 'opencode_execute_task', { task_description: 'x' }).catch(() => undefined), { what: 'a refusal' })
  expect(refusal).toMatchObject({ code: 'unavailable', message: expect.stringContaining('Redis') as string, next: expect.stringContaining('again') as string })
  const overHttp = await fixture.request('/api/tasks', { method: 'POST', body: '{"task_description":"x"}' })
  expect([overHttp.status, await overHttp.json()]).toMatchObject([503, { error: { code: 'unavailable' } }])
  expect((await fetch(`${fixture.url}/ready`)).status).toBe(503)
  expect((await fetch(`${fixture.url}/health`)).status).toBe(200)
  expect((await fetch(`${fixture.url}/metrics`)).status).toBe(200)
  await redis.restart()
  await waitFor(() => callOk(client, 'opencode_execute_task', { task_description: 'x' }).catch(() => undefined), { what: 'a submit to be accepted' })
  expect(await fixture.ledger.counts()).toMatchObject({ queued: 1 })
  await client.close()
})

test('with Redis hanging a call is answered, too', async () => {
  const { redis, fixture } = await ownRedis()
  await fixture.request('/api/ping')
  redis.stall()
  const answer = await fixture.request('/api/tasks')
  expect([answer.status, await answer.json()]).toMatchObject([503, { error: { code: 'unavailable' } }])
  expect((await fetch(`${fixture.url}/health`)).status).toBe(200)
  const ready = await fetch(`${fixture.url}/ready`)
  expect([ready.status, await ready.json()]).toMatchObject([503, { checks: [{ name: 'redis', ok: false, detail: expect.stringContaining('no answer within') as string }, { name: 'blobs' }] }])
  expect((await fetch(`${fixture.url}/metrics`)).status).toBe(200)
  redis.cont()
})

test('what Redis refuses is told from a Redis that is away, and leaves nothing', async () => {
  const { fixture } = await ownRedis()
  const refusal = async () => {
    const answer = await fixture.request('/api/tasks', { method: 'POST', body: '{"task_description":"x"}' })
    return { status: answer.status, ...((await answer.json()) as { error: { code: string; message: string } }).error }
  }
  await fixture.request('/api/tasks', { method: 'POST', body: '{"task_description":"x"}' })
  await fixture.redis.config('SET', 'maxmemory', '1')
  expect(await refusal()).toMatchObject({ status: 429, code: 'overloaded', message: expect.stringContaining('maxmemory') as string })
  await fixture.redis.config('SET', 'maxmemory', '0')
  await fixture.redis.config('SET', 'min-replicas-to-write', '1')
  expect(await refusal()).toMatchObject({ status: 503, code: 'unavailable', message: expect.stringContaining('NOREPLICAS') as string })
  await fixture.redis.config('SET', 'min-replicas-to-write', '0')
  expect(await fixture.ledger.counts()).toMatchObject({ queued: 1 })
})

test('health says whether tasks would be accepted now', async () => {
  const { fixture } = await ownRedis()
  const canAccept = async () => ((await (await fixture.request('/api/health')).json()) as { metrics: { can_accept_task: boolean } }).metrics.can_accept_task
  expect(await canAccept()).toBe(true)
  await fixture.redis.config('SET', 'maxmemory', '1')
  await waitFor(async () => !(await canAccept()), { what: 'a full Redis' })
  await fixture.redis.config('SET', 'maxmemory', '0')
  await waitFor(canAccept, { what: 'room again' })
})

test('the gateway starts while Redis is away and serves once it is there', async () => {
  const { redis, fixture } = await ownRedis()
  await redis.kill9()
  const late = await fixture.replica()
  expect((await fetch(`${late.url}/api/tasks`, { headers: { authorization: `Bearer ${fixture.keys.alice}` } })).status).toBe(503)
  await redis.restart()
  await waitFor(async () => (await fetch(`${late.url}/api/tasks`, { headers: { authorization: `Bearer ${fixture.keys.alice}` } })).status === 200, { what: 'an answer' })
})

test('G12: told to stop, a waiting call answers with what it has, and the port is free', async () => {
  const { fixture } = await ownRedis({ SYNC_WAIT_MS: '60000' })
  const waiting = fixture.request('/api/tasks', { method: 'POST', body: '{"task_description":"x","sync":true}' })
  await waitFor(async () => (await fixture.ledger.counts()).queued === 1, { what: 'the submit' })
  await fixture.gateway.stop()
  const answer = await waiting
  expect([answer.status, await answer.json()]).toMatchObject([202, { status: 'queued' }])
  await expect(fetch(`${fixture.url}/health`)).rejects.toThrow('fetch failed')
})

test('a taken port is an error that names it, and nothing keeps running', async () => {
  const { redis, fixture } = await ownRedis()
  const settings = loadSettings({ MCP_PORT: String(fixture.gateway.port), LONGSHORE_DEPLOYMENT: fixture.deployment })
  await expect(createGateway({ settings, profiles: {}, redisUrl: redis.url, version: '0', log: SILENT })).rejects.toThrow(`MCP_PORT: 127.0.0.1:${fixture.gateway.port} is in use`)
})

test('G14: neither prompt nor key reaches the log, also when something breaks', async () => {
  const redis = await startRedis()
  open.push(redis)
  const lines: string[] = []
  const log: Log = { debug: note, info: note, warn: note, error: note, child: () => log }
  function note(fields: object, message: string) {
    // As pino would write an error: its message, its stack and its own properties.
    lines.push(message, JSON.stringify(fields, (_, value: unknown) => (value instanceof Error ? [value.message, value.stack, Object.entries(value)] : value)))
  }
  const fixture = await startGatewayFixture({}, redis.url, log)
  open.push(fixture)
  const prompt = 'sk-very-secret-prompt'
  const send = () => fixture.request('/api/tasks', { method: 'POST', body: JSON.stringify({ task_description: prompt, idempotency_key: 'secret-idempotency' }) })
  expect((await send()).status).toBe(202)
  // A record that no longer parses: a defect, and the answer says no more than that.
  const [key] = await fixture.redis.keys(`{ls:${fixture.deployment}}:task:*`)
  await fixture.redis.hset(key ?? '', 'state', 'sk-very-secret-state')
  const broken = await fixture.request(`/api/tasks/${key?.split(':').at(-1)}`)
  expect(await broken.json()).toMatchObject({ error: { code: 'internal', message: expect.not.stringContaining('secret') as string } })
  await redis.kill9()
  await waitFor(async () => (await send()).status === 503, { what: 'a refusal' })
  expect(lines.join('\n')).toContain('a call failed by a defect of ours')
  expect(lines.join('\n')).not.toMatch(/sk-very-secret-prompt|secret-idempotency/)
  expect(lines.join('\n')).not.toContain(fixture.keys.alice)
})
