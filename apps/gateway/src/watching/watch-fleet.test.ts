import { randomBytes } from 'node:crypto'

import { NewTask, taskIdFrom } from '@longshore/contracts'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { type GatewayFixture, startGatewayFixture } from '../gateway-fixture.ts'
import { readEvents } from './event-reader.ts'

let fixture: GatewayFixture
beforeAll(async () => {
  fixture = await startGatewayFixture()
})
afterAll(() => fixture.stop())

const submit = async (agentId: string) => (await fixture.ledger.submit(NewTask.parse({ id: taskIdFrom(randomBytes(52)), agent_id: agentId, prompt: 'x', title: 'x', mode: 'docker' }))).task.id
const open = (query = '', headers: Record<string, string> = {}) => readEvents(`${fixture.url}/api/events${query}`, fixture.keys.operator, headers)

test('an operator follows all tasks of all agents, from now on or from a cursor, on any replica', async () => {
  const before = await submit('agent-alice')
  const fromNow = await open()
  const fromStart = await open('?cursor=0')
  const [first] = await fromStart.until(1)
  expect(JSON.parse(first?.data ?? '')).toMatchObject({ task_id: before, seq: 1, type: 'task.queued', message: 'queued (submitted) for docker' })
  const after = await submit('agent-bob')
  const [event] = await fromNow.until(1)
  expect(JSON.parse(event?.data ?? '')).toMatchObject({ task_id: after, seq: 1 })
  await fixture.ledger.cancel(after, 'test')
  const replica = await fixture.replica()
  const again = await readEvents(`${replica.url}/api/events`, fixture.keys.operator, { 'last-event-id': event?.id ?? '' })
  expect((await again.until(1))[0]).toMatchObject({ event: 'task.cancelled' })
  for (const reader of [fromNow, fromStart, again]) reader.close()
})

test('G6: a cursor of another history is told so', async () => {
  const reader = await open('?cursor=99999999999999-0')
  expect((await reader.until(2)).map(({ event, id }) => [event, id])[0]).toEqual(['cursor_reset', '0'])
  reader.close()
})

test('agents may not, and a cursor of nobody\'s is refused', async () => {
  const refused = await fixture.request('/api/events')
  expect([refused.status, await refused.json()]).toMatchObject([403, { error: { code: 'forbidden' } }])
  for (const cursor of ['%2B%20COUNT', '18446744073709551616-0', '1-99999999999999999999']) {
    const strange = await fixture.request(`/api/events?cursor=${cursor}`, { key: fixture.keys.operator })
    expect([strange.status, await strange.json()]).toMatchObject([400, { error: { field: 'cursor' } }])
  }
})
