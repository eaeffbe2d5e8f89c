import { randomBytes } from 'node:crypto'

import { NewTask, taskIdFrom } from '@longshore/contracts'
import type { Claim } from '@longshore/ledger'
import { waitFor } from '@longshore/testkit'
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { Client as OldClient } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport as OldTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { ResourceUpdatedNotificationSchema } from '@modelcontextprotocol/sdk/types.js'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'

import { type GatewayFixture, startGatewayFixture } from '../gateway-fixture.ts'
import { readEvents } from './event-reader.ts'
import { taskUri } from './task-uri.ts'

let fixture: GatewayFixture
const opened: { close(): Promise<void> }[] = []

beforeAll(async () => {
  fixture = await startGatewayFixture({ EVENTS_HEARTBEAT_MS: '200', EVENTS_MAX_STREAMS_PER_AGENT: '6', SYNC_WAIT_MS: '8000' })
})
afterAll(() => fixture.stop())
afterEach(async () => {
  for (const client of opened.splice(0)) await client.close()
})

const identity = { name: 'longshore-test', version: '1.0.0' }

/** A client of the 2026-07-28 revision, with what it was told. */
async function modern(url = fixture.url, key = fixture.keys.alice) {
  const updates: string[] = []
  const client = new Client(identity, { versionNegotiation: { mode: { pin: '2026-07-28' } } })
  client.setNotificationHandler('notifications/resources/updated', ({ params }) => void updates.push(params.uri))
  await client.connect(new StreamableHTTPClientTransport(new URL('/mcp', url), { requestInit: { headers: { authorization: `Bearer ${key}` } } }))
  opened.push(client)
  return { client, updates }
}

async function old(url = fixture.url, key = fixture.keys.alice) {
  const client = new OldClient(identity)
  await client.connect(new OldTransport(new URL('/mcp', url), { requestInit: { headers: { authorization: `Bearer ${key}` } } }))
  opened.push(client)
  return client
}

async function running(agentId = 'agent-alice'): Promise<Claim> {
  const { task } = await fixture.ledger.submit(NewTask.parse({ id: taskIdFrom(randomBytes(52)), agent_id: agentId, prompt: 'x', title: 'x', mode: 'docker' }))
  const take = await fixture.ledger.take({ task_id: task.id, n: 1 }, 'worker-1')
  if (take.kind !== 'taken') throw new Error('not taken')
  return { taskId: task.id, claim: take.task.claim }
}
const say = (claim: Claim, text: string) => fixture.ledger.append(claim, [{ type: 'task.output', payload: { text, stream: 'agent' } }])

describe('task://{id}', () => {
  test.each([['2026-07-28', async () => (await modern()).client], ['1.x', () => old()]])('is listed, page by page, and read (%s client)', async (_, connect) => {
    const claim = await running()
    const client = await connect()
    expect((await client.listResourceTemplates()).resourceTemplates).toMatchObject([{ uriTemplate: 'task://{id}', mimeType: 'application/json' }])
    expect((await client.listResources()).resources[0]).toMatchObject({ uri: taskUri(claim.taskId), title: 'x', description: 'running' })
    const { contents } = await client.readResource({ uri: taskUri(claim.taskId) })
    const [content] = contents
    expect(JSON.parse(content !== undefined && 'text' in content ? content.text : '')).toMatchObject({ task_id: claim.taskId, status: 'running', recent_events: [{ seq: 1 }, { seq: 2, type: 'task.started' }] })
    await expect(client.listResources({ cursor: 'x' })).rejects.toThrow(/cursor/)
  })

  test('pages follow each other', async () => {
    for (let i = 0; i < 60; i++) await fixture.ledger.submit(NewTask.parse({ id: taskIdFrom(randomBytes(52)), agent_id: 'agent-bob', prompt: 'x', title: 'x', mode: 'docker' }))
    const { client } = await modern(fixture.url, fixture.keys.bob)
    expect((await client.listResources()).resources).toHaveLength(60)
  })

  test.each([['2026-07-28', async () => (await modern(fixture.url, fixture.keys.bob)).client], ['1.x', () => old(fixture.url, fixture.keys.bob)]])('G11: another agent\'s and an unknown one are refused alike (%s client)', async (_, connect) => {
    const { taskId } = await running()
    const client = await connect()
    const unknown = `task-${'z'.repeat(26)}`
    const refusals = await Promise.all([taskId, unknown].map(async (id) => {
      const refused = await client.readResource({ uri: taskUri(id) }).then(() => 'served', (error: unknown) => String(error))
      return refused.replaceAll(id, 'ID')
    }))
    expect(refusals[0]).toBe(refusals[1])
    expect(refusals[0]).toMatch(/not found/i)
    for (const uri of ['task://', 'task://a/b', 'file:///etc/passwd']) await expect(client.readResource({ uri })).rejects.toThrow(/not found/i)
  })
})

describe('subscriptions of the 2026-07-28 revision', () => {
  test('whoever listens is told of what happens, on any replica, and of nothing else', async () => {
    const [mine, other] = [await running(), await running()]
    const replica = await fixture.replica()
    const clients = [await modern(), await modern(replica.url)]
    for (const { client } of clients) await client.listen({ resourceSubscriptions: [taskUri(mine.taskId)] })
    await say(other, 'not for them')
    await say(mine, 'for them')
    for (const { updates } of clients) await waitFor(() => updates.length === 1, { what: 'the update' })
    await fixture.ledger.end(mine, { state: 'completed', payload: { result: { output: '', output_truncated: false, files_changed: 0 } } })
    for (const { updates } of clients) {
      await waitFor(() => updates.length === 2, { what: 'the update of the end' })
      expect(new Set(updates)).toEqual(new Set([taskUri(mine.taskId)]))
    }
  })

  test('G11: a foreign and an unknown task are left out alike, and nothing of them is told', async () => {
    const [mine, foreign] = [await running('agent-bob'), await running()]
    const { client, updates } = await modern(fixture.url, fixture.keys.bob)
    const subscription = await client.listen({ resourceSubscriptions: [mine.taskId, foreign.taskId, `task-${'z'.repeat(26)}`].map(taskUri) })
    expect(subscription.honoredFilter).toEqual({ resourceSubscriptions: [taskUri(mine.taskId)] })
    await say(foreign, 'secret')
    await say(mine, 'mine')
    await waitFor(() => updates.length > 0, { what: 'the update' })
    expect(updates).toEqual([taskUri(mine.taskId)])
  })

  test('streams count against the agent\'s limit, and end when the key is revoked', async () => {
    const { taskId } = await running()
    const { key, apiKey } = await fixture.apiKeys.make('operator', 'for a while')
    const { client } = await modern(fixture.url, key)
    const subscriptions = []
    for (let i = 0; i < 6; i++) subscriptions.push(await client.listen({ resourceSubscriptions: [taskUri(taskId)] }))
    await expect(client.listen({ resourceSubscriptions: [taskUri(taskId)] })).rejects.toThrow(/429|6 event streams/)
    await fixture.apiKeys.revoke(apiKey.id)
    await Promise.all(subscriptions.map(({ closed }) => closed))
  })
})

describe('subscriptions of older revisions', () => {
  const subscribing = async (kind: '1.x' | '2.x', url: string, key = fixture.keys.alice) => {
    const updates: string[] = []
    const requestInit = { headers: { authorization: `Bearer ${key}` } }
    if (kind === '1.x') {
      const client = new OldClient(identity)
      client.setNotificationHandler(ResourceUpdatedNotificationSchema, ({ params }) => void updates.push(params.uri))
      await client.connect(new OldTransport(new URL('/mcp', url), { requestInit }))
      opened.push(client)
      return { client, updates }
    }
    const client = new Client(identity, { versionNegotiation: { mode: 'legacy' } })
    client.setNotificationHandler('notifications/resources/updated', ({ params }) => void updates.push(params.uri))
    await client.connect(new StreamableHTTPClientTransport(new URL('/mcp', url), { requestInit }))
    opened.push(client)
    return { client, updates }
  }

  test.each(['1.x', '2.x'] as const)('a %s client is told on its stream, until it unsubscribes', async (kind) => {
    const [mine, other] = [await running(), await running()]
    const { client, updates } = await subscribing(kind, fixture.url)
    await client.subscribeResource({ uri: taskUri(mine.taskId) })
    await say(other, 'not for it')
    await say(mine, 'for it')
    await waitFor(() => updates.length === 1, { what: 'the update' })
    await client.subscribeResource({ uri: taskUri(other.taskId) })
    await client.unsubscribeResource({ uri: taskUri(mine.taskId) })
    await say(mine, 'no more')
    await say(other, 'this one')
    await waitFor(() => updates.includes(taskUri(other.taskId)), { what: 'the other update' })
    expect(new Set(updates)).toEqual(new Set([taskUri(mine.taskId), taskUri(other.taskId)]))
  })

  test('the subscription may come to one replica and the stream from another', async () => {
    const { taskId, claim } = await running()
    const replica = await fixture.replica()
    const headers = { authorization: `Bearer ${fixture.keys.alice}`, 'mcp-session-id': 'a-session', accept: 'application/json, text/event-stream', 'content-type': 'application/json' }
    const subscribed = await fetch(`${replica.url}/mcp`, { method: 'POST', headers, body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'resources/subscribe', params: { uri: taskUri(taskId) } }) })
    expect(await subscribed.json()).toEqual({ jsonrpc: '2.0', id: 1, result: {} })
    await say({ taskId, claim }, 'before the stream is there')
    const stream = await readEvents(`${fixture.url}/mcp`, fixture.keys.alice, { ...headers, accept: 'text/event-stream' })
    const [update] = await stream.until(1)
    expect(JSON.parse(update?.data ?? '')).toMatchObject({ method: 'notifications/resources/updated', params: { uri: taskUri(taskId) } })
    stream.close()
  })

  test('G11: another agent\'s task cannot be subscribed to, nor another\'s session heard', async () => {
    const { taskId, claim } = await running()
    const { client } = await subscribing('1.x', fixture.url, fixture.keys.bob)
    const refusals = await Promise.all([taskId, `task-${'z'.repeat(26)}`].map((id) => client.subscribeResource({ uri: taskUri(id) }).then(() => 'subscribed', (error: unknown) => String(error).replaceAll(id, 'ID'))))
    expect(refusals[0]).toMatch(/not found/)
    expect(refusals[0]).toBe(refusals[1])
    const session = { 'mcp-session-id': 'shared-name', accept: 'application/json, text/event-stream' }
    await fixture.request('/mcp', { method: 'POST', headers: { ...session, 'content-type': 'application/json' }, body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'resources/subscribe', params: { uri: taskUri(taskId) } }) })
    const [hers, his] = [await readEvents(`${fixture.url}/mcp`, fixture.keys.alice, session), await readEvents(`${fixture.url}/mcp`, fixture.keys.bob, session)]
    await say({ taskId, claim }, 'secret')
    await hers.until(1)
    const beats = his.comments
    await waitFor(() => his.comments > beats, { what: 'a later heartbeat' })
    expect(his.events).toEqual([])
    for (const stream of [hers, his]) stream.close()
  })
})

test.each([['2026-07-28', async () => (await modern()).client], ['1.x', () => old()]])('a call that waits tells of progress to whom asked (%s client)', async (_, connect) => {
  const client = await connect()
  const told: { progress: number; message?: string | undefined }[] = []
  const before = (await fixture.ledger.list({ agentId: 'agent-alice', limit: 1 }))[0]?.id
  const params = { name: 'opencode_execute_task', arguments: { task_description: 'x', sync: true, mode: 'docker' } }
  const options = { onprogress: (progress: { progress: number; message?: string | undefined }) => void told.push(progress) }
  const call = client instanceof OldClient ? client.callTool(params, undefined, options) : client.callTool(params, options)
  let taskId = before
  await waitFor(async () => {
    taskId = (await fixture.ledger.list({ agentId: 'agent-alice', limit: 1 }))[0]?.id
    return taskId !== before
  }, { what: 'the task' })
  if (taskId === undefined) throw new Error('no task')
  await waitFor(() => told.length === 1, { what: 'the first progress' })
  const take = await fixture.ledger.take({ task_id: taskId, n: 1 }, 'worker-1')
  if (take.kind !== 'taken') throw new Error('not taken')
  const claim = { taskId, claim: take.task.claim }
  await say(claim, 'half way')
  await waitFor(() => told.at(-1)?.message === 'running: half way', { what: 'the progress' })
  await fixture.ledger.end(claim, { state: 'completed', payload: { result: { output: 'done', output_truncated: false, files_changed: 0 } } })
  expect(await call).toMatchObject({ structuredContent: { status: 'completed' } })
  const done = told.map(({ progress }) => progress)
  expect(done).toEqual([...new Set(done)].toSorted((a, b) => a - b))
})
