import { randomBytes } from 'node:crypto'

import { formatCursor, NewTask, type TaskId, taskIdFrom } from '@longshore/contracts'
import type { Claim } from '@longshore/ledger'
import { waitFor } from '@longshore/testkit'
import { EventSource } from 'eventsource'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'

import { type GatewayFixture, startGatewayFixture } from '../gateway-fixture.ts'
import { type EventReader, readEvents } from './event-reader.ts'

let fixture: GatewayFixture
const opened: EventReader[] = []

beforeAll(async () => {
  fixture = await startGatewayFixture({ EVENTS_HEARTBEAT_MS: '200', EVENTS_MAX_STREAMS_PER_AGENT: '5', EVENTS_MAX_STREAMS: '7' })
})
afterAll(() => fixture.stop())
afterEach(async () => {
  for (const reader of opened.splice(0)) reader.close()
  await waitFor(async () => (await streams()) === 0, { what: 'all streams to be closed' })
})

async function streams(): Promise<number> {
  const figures = await (await fetch(`${fixture.url}/metrics`)).text()
  return [...figures.matchAll(/^longshore_event_streams\{.*\} (\d+)$/gm)].reduce((sum, [, count]) => sum + Number(count), 0)
}

async function watch(taskId: string, { key = fixture.keys.alice, query = '', headers = {} }: { key?: string; query?: string; headers?: Record<string, string> } = {}): Promise<EventReader> {
  const reader = await readEvents(`${fixture.url}/api/tasks/${taskId}/events${query}`, key, headers)
  opened.push(reader)
  return reader
}

async function running(): Promise<Claim> {
  const { task } = await fixture.ledger.submit(NewTask.parse({ id: taskIdFrom(randomBytes(52)), agent_id: 'agent-alice', prompt: 'x', title: 'x', mode: 'docker' }))
  const take = await fixture.ledger.take({ task_id: task.id, n: 1 }, 'worker-1')
  if (take.kind !== 'taken') throw new Error('not taken')
  return { taskId: task.id, claim: take.task.claim }
}

const say = (claim: Claim, ...texts: string[]) => fixture.ledger.append(claim, texts.map((text) => ({ type: 'task.output', payload: { text, stream: 'agent' } })))
const complete = (claim: Claim) => fixture.ledger.end(claim, { state: 'completed', payload: { result: { output: 'done', output_truncated: false, files_changed: 0 } } })
const typesOf = (reader: EventReader) => reader.events.map(({ event }) => event)
const cursorAt = async (taskId: TaskId) => {
  const task = await fixture.ledger.get(taskId)
  return formatCursor({ seq: task?.seq ?? 0, id: task?.last_event_id ?? '' })
}

test('the events of a task come as they happen, in the shape of its history, and the stream ends with the task', async () => {
  const claim = await running()
  const reader = await watch(claim.taskId)
  expect(reader).toMatchObject({ status: 200 })
  expect(reader.headers.get('content-type')).toBe('text/event-stream; charset=utf-8')
  await reader.until(2)
  await say(claim, 'one\r\ntwo\n\ndata: three')
  await reader.until(3)
  await complete(claim)
  expect(await reader.ended()).toHaveLength(5)
  expect(typesOf(reader)).toEqual(['task.queued', 'task.started', 'task.output', 'task.completed', 'end'])
  const history = await (await fixture.request(`/api/tasks/${claim.taskId}/history`)).json() as { events: { seq: number; id: string }[] }
  expect(reader.events.slice(0, 4).map(({ data }) => JSON.parse(data) as unknown)).toEqual(history.events)
  expect(reader.events.slice(0, 4).map(({ id }) => id)).toEqual(history.events.map(formatCursor))
  expect(JSON.parse(reader.events[4]?.data ?? '')).toEqual({ reason: 'over', cursor: reader.events[3]?.id })
  expect(reader.retryMs).toBe(1_000)
})

test('G6: a reader that was cut off goes on after the last event it has, on another replica', async () => {
  const claim = await running()
  await say(claim, 'a', 'b')
  const first = await watch(claim.taskId)
  const [, , third] = await first.until(4)
  first.close()
  await say(claim, 'c')
  const replica = await fixture.replica()
  const again = await readEvents(`${replica.url}/api/tasks/${claim.taskId}/events?cursor=0`, fixture.keys.alice, { 'last-event-id': third?.id ?? '' })
  const [b, c] = await again.until(2)
  expect([b, c].map((event) => (JSON.parse(event?.data ?? '') as { seq: number }).seq)).toEqual([4, 5])
  again.close()
})

test('a cursor of now skips what was, and tells where the reader stands before anything comes', async () => {
  const claim = await running()
  const reader = await watch(claim.taskId, { query: '?cursor=now' })
  await waitFor(() => reader.comments > 0, { what: 'a heartbeat' })
  expect(reader.events).toEqual([])
  await say(claim, 'new')
  const [event] = await reader.until(1)
  expect(JSON.parse(event?.data ?? '')).toMatchObject({ seq: 3, data: { text: 'new' } })
})

test('G6: a cursor that fits no longer is told so, and the stream goes on at the earliest event that is kept', async () => {
  const claim = await running()
  for (const cursor of ['99-01M878HMX0KEQK7843K6SVN54N', '1-01M878HMX0KEQK7843K6SVN54N']) {
    const reader = await watch(claim.taskId, { headers: { 'last-event-id': cursor } })
    await reader.until(3)
    expect(typesOf(reader)).toEqual(['cursor_reset', 'task.queued', 'task.started'])
    expect(JSON.parse(reader.events[0]?.data ?? '')).toEqual({ earliest_seq: 1, cursor: '0' })
  }
})

test.each([['?cursor=abc', {}, 'cursor'], ['', { 'last-event-id': '7; DROP' }, 'Last-Event-ID'], ['?cusror=0', {}, 'cusror']])('a cursor of nobody\'s (%s) is refused by its name', async (query, headers, field) => {
  const { taskId } = await running()
  const answer = await fixture.request(`/api/tasks/${taskId}/events${query}`, { headers })
  expect(answer.status).toBe(400)
  expect(await answer.json()).toMatchObject({ error: { code: 'invalid_input', field } })
})

describe('the end', () => {
  test('who has everything of a task that is over gets 204, so that browsers do not come back', async () => {
    const claim = await running()
    await complete(claim)
    const reader = await watch(claim.taskId)
    await reader.ended()
    expect(typesOf(reader)).toEqual(['task.queued', 'task.started', 'task.completed', 'end'])
    expect((await watch(claim.taskId, { headers: { 'last-event-id': await cursorAt(claim.taskId) } })).status).toBe(204)
    expect((await watch(claim.taskId, { query: '?cursor=now' })).status).toBe(204)
  })

  test('an EventSource reads all of it and is closed by its own rules', async () => {
    const claim = await running()
    const asked: (string | null)[] = []
    const source = new EventSource(`${fixture.url}/api/tasks/${claim.taskId}/events`, {
      fetch: (url, init) => {
        asked.push(new Headers(init.headers).get('last-event-id'))
        return fetch(url, { ...init, headers: { ...init.headers, authorization: `Bearer ${fixture.keys.alice}` } })
      },
    })
    const got: string[] = []
    for (const type of ['task.queued', 'task.started', 'task.completed']) source.addEventListener(type, ({ lastEventId }) => got.push(lastEventId))
    await waitFor(() => got.length === 2, { what: 'the first events' })
    await complete(claim)
    await waitFor(() => source.readyState === EventSource.CLOSED, { what: 'the EventSource to close for good' })
    expect(got).toHaveLength(3)
    expect(asked).toEqual([null, got[2]])
  })
})

describe('G11: owned', () => {
  test('an unknown task and another agent\'s get the same bytes besides the id', async () => {
    const { taskId } = await running()
    const unknown = `task-${'z'.repeat(26)}`
    const [a, b] = await Promise.all([taskId, unknown].map(async (id) => {
      const answer = await fixture.request(`/api/tasks/${id}/events`, { key: fixture.keys.bob })
      return `${answer.status} ${(await answer.text()).replaceAll(id, 'ID')}`
    }))
    expect(a).toBe(b)
    expect(a).toMatch(/^404 .*task_not_found/)
  })

  test('an operator follows any task; a stream ends when its key is revoked', async () => {
    const claim = await running()
    const { key, apiKey } = await fixture.apiKeys.make('operator', 'for a while')
    const reader = await watch(claim.taskId, { key })
    await reader.until(2)
    await fixture.apiKeys.revoke(apiKey.id)
    const events = await reader.ended()
    expect(events.at(-1)).toMatchObject({ event: 'end', data: expect.stringContaining('key_revoked') as string })
    expect((await watch(claim.taskId, { key })).status).toBe(401)
  })
})

test('there is a limit of streams per agent (429) and per gateway (503), and a closed one makes room', async () => {
  const { taskId } = await running()
  const mine = await Promise.all(Array.from({ length: 5 }, () => watch(taskId)))
  const refused = await fixture.request(`/api/tasks/${taskId}/events`)
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '5'])
  expect(await refused.json()).toMatchObject({ error: { code: 'overloaded', message: expect.stringContaining('5 event streams of yours') as string } })
  await Promise.all(Array.from({ length: 2 }, () => watch(taskId, { key: fixture.keys.operator })))
  const full = await fixture.request(`/api/tasks/${taskId}/events`, { key: fixture.keys.operator })
  expect(full.status).toBe(503)
  expect(await full.json()).toMatchObject({ error: { code: 'unavailable', message: expect.stringContaining('7 event streams') as string } })
  mine[0]?.close()
  await waitFor(async () => (await streams()) === 6, { what: 'the closed stream to be gone' })
  expect((await watch(taskId)).status).toBe(200)
})

test('a gateway that stops tells its readers to come back with their cursor, spread over time', async () => {
  const claim = await running()
  const replica = await fixture.replica()
  const reader = await readEvents(`${replica.url}/api/tasks/${claim.taskId}/events`, fixture.keys.alice)
  await reader.until(2)
  const stopping = replica.stop()
  const events = await reader.ended()
  await stopping
  expect(events.at(-1)?.event).toBe('reconnect')
  expect(JSON.parse(events.at(-1)?.data ?? '')).toMatchObject({ reason: 'shutdown', cursor: events[1]?.id })
  expect(reader.retryMs).toBeGreaterThanOrEqual(500)
})

test('a log that was trimmed to its end is read to that end, whichever way one comes', async () => {
  const claim = await running()
  await say(claim, 'a')
  await complete(claim)
  const before = await (await fixture.request(`/api/tasks/${claim.taskId}/history`)).json() as { events: { seq: number; id: string }[] }
  await fixture.ledger.trimLog(claim.taskId)
  const [, second] = before.events
  const late = await watch(claim.taskId, { headers: { 'last-event-id': second === undefined ? '' : formatCursor(second) } })
  await late.ended()
  expect(typesOf(late)).toEqual(['cursor_reset', 'task.completed', 'end'])
  expect(JSON.parse(late.events[0]?.data ?? '')).toEqual({ earliest_seq: 4, cursor: '0' })
  expect(await (await fixture.request(`/api/tasks/${claim.taskId}/history`)).json()).toMatchObject({ events: [{ seq: 4 }], events_offset: 3, events_total: 4, has_more_events: false })
  expect(await (await fixture.request(`/api/tasks/${claim.taskId}`)).json()).toMatchObject({ status: 'completed', recent_events: [{ seq: 4, type: 'task.completed' }] })
})
