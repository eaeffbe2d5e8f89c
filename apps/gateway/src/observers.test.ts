import { MAX_OBSERVERS, type TaskId } from '@longshore/contracts'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type GatewayFixture, startGatewayFixture } from './gateway-fixture.ts'
import { callOk, callRefused, connectClient, type TestClient } from './mcp-clients.ts'

let fixture: GatewayFixture
let [alice, bob]: TestClient[] = []
beforeAll(async () => {
  fixture = await startGatewayFixture()
  alice = await connectClient('1.x client', fixture.url, fixture.keys.alice)
  bob = await connectClient('1.x client', fixture.url, fixture.keys.bob)
})
afterAll(async () => {
  await Promise.all([alice?.close(), bob?.close()])
  await fixture.stop()
})
const call = (name: string, args: Record<string, unknown>) => callOk(alice as TestClient, name, args)
const refused = (name: string, args: Record<string, unknown>, client = alice) => callRefused(client as TestClient, name, args)
const submit = async (observers: string[] = []) => (await call('opencode_execute_task', { task_description: 'x', observers }))['task_id'] as TaskId

test('observers of the submit are listed, others added and removed; asking twice is harmless', async () => {
  const task_id = await submit(['@ann:example.org'])
  expect(await call('list_task_observers', { task_id })).toMatchObject({ total: 1, observers: [{ observer_id: '@ann:example.org', observer_type: 'human', read_only: true, added_by: 'agent-alice' }] })
  const observer_id = '@bot/"x":example.org'
  expect(await call('add_task_observer', { task_id, observer_id, observer_type: 'agent', read_only: false })).toMatchObject({ outcome: 'added', total: 2 })
  expect(await call('add_task_observer', { task_id, observer_id, observer_type: 'agent', read_only: false })).toMatchObject({ outcome: 'unchanged', total: 2 })
  expect(await call('add_task_observer', { task_id, observer_id })).toMatchObject({ outcome: 'changed', observers: [{}, { observer_id, observer_type: 'human', read_only: true }] })
  expect((await fixture.ledger.get(task_id))?.observers).toEqual(['@ann:example.org', observer_id])
  expect(await call('remove_task_observer', { task_id, observer_id: '@ann:example.org' })).toMatchObject({ outcome: 'removed', total: 1 })
  expect(await call('remove_task_observer', { task_id, observer_id: '@ann:example.org' })).toMatchObject({ outcome: 'unchanged', total: 1 })
  expect(await call('remove_task_observer', { task_id, observer_id })).toMatchObject({ outcome: 'removed', observers: [], total: 0 })
  expect(await fixture.ledger.get(task_id)).toMatchObject({ observers: [], watchers: [], state: 'queued' })
})

test('over HTTP they are added, listed and removed by their id, as a path may hold it', async () => {
  const task_id = await submit()
  const path = `/api/tasks/${task_id}/observers`
  const added = await fixture.request(path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ observer_id: '@a/b:example.org' }) })
  expect(await added.json()).toMatchObject({ outcome: 'added' })
  expect(await (await fixture.request(path)).json()).toMatchObject({ total: 1 })
  expect(await (await fixture.request(`${path}/${encodeURIComponent('@a/b:example.org')}`, { method: 'DELETE' })).json()).toMatchObject({ outcome: 'removed', total: 0 })
})

test('who follows the fleet hears of a change, and of nothing when there is none', async () => {
  const task_id = await submit()
  const changes = async () => (await fixture.ledger.readFleet('0', 1_000)).filter((entry) => entry.taskId === task_id).map(({ type, seq }) => [type, seq])
  const rings: string[] = []
  const listener = fixture.redis.duplicate()
  await listener.subscribe(`{ls:${fixture.deployment}}:bell:fleet`)
  listener.on('message', (_, id: string) => rings.push(id))
  for (let i = 0; i < 2; i++) await call('add_task_observer', { task_id, observer_id: '@ann:example.org' })
  for (let i = 0; i < 2; i++) await call('remove_task_observer', { task_id, observer_id: '@ann:example.org' })
  expect(await changes()).toEqual([['task.queued', 1], ['observers', 1], ['observers', 1]])
  await expect.poll(() => rings).toEqual([task_id, task_id])
  listener.disconnect()
  // No event says so: the log has no gap, and nothing in it that readers do not know.
  expect(await call('get_task_history', { task_id })).toMatchObject({ events_total: 1 })
})

test.each(['completed', 'timeout', 'cancelled'] as const)('a task that ended as %s keeps its observers as they were', async (state) => {
  const task_id = await submit(['@ann:example.org'])
  const take = await fixture.ledger.take({ task_id, n: 1 }, 'w')
  if (take.kind !== 'taken') throw new Error(take.reason)
  const claim = { taskId: task_id, claim: take.task.claim }
  if (state === 'completed') await fixture.ledger.end(claim, { state, payload: { result: { output: '', output_truncated: false, files_changed: 0 } } })
  else if (state === 'timeout') await fixture.ledger.end(claim, { state, payload: { limit: 'timeout_ms', limit_ms: 1 } })
  else await fixture.ledger.end(claim, { state, payload: { by: 'test' } })
  expect(await refused('add_task_observer', { task_id, observer_id: '@bob:example.org' })).toMatchObject({ code: 'task_over', message: `the task is over: ${state}` })
  expect(await refused('remove_task_observer', { task_id, observer_id: '@ann:example.org' })).toMatchObject({ code: 'task_over' })
  expect(await call('list_task_observers', { task_id })).toMatchObject({ total: 1, status: state })
})

test('a task has no more observers than it may have', async () => {
  const task_id = await submit(Array.from({ length: MAX_OBSERVERS }, (_, n) => `@p${n}:example.org`))
  expect(await refused('add_task_observer', { task_id, observer_id: '@more:example.org' })).toMatchObject({ code: 'not_supported', field: 'observer_id', message: expect.stringContaining(String(MAX_OBSERVERS)) as string })
  expect(await call('add_task_observer', { task_id, observer_id: '@p0:example.org', read_only: false })).toMatchObject({ outcome: 'changed', total: MAX_OBSERVERS })
})

test('G2: whoever watches it by now, the same submit is the same', async () => {
  const submitted = { task_description: 'x', idempotency_key: 'k', observers: ['@ann:example.org'] }
  const { task_id } = await call('opencode_execute_task', submitted)
  await call('remove_task_observer', { task_id, observer_id: '@ann:example.org' })
  expect(await call('opencode_execute_task', submitted)).toMatchObject({ task_id, is_new: false })
})

test.each(['ann', '@ann', '@a n:x', '@ann:\uD800', `@${'x'.repeat(300)}:y`, '@ann:x\n'])('%j is no observer', async (observer_id) => {
  const task_id = await submit()
  for (const tool of ['add_task_observer', 'remove_task_observer']) expect(await refused(tool, { task_id, observer_id })).toMatchObject({ code: 'invalid_input', field: 'observer_id' })
})

test('G11: nobody changes or sees who watches another\'s task', async () => {
  const task_id = await submit(['@ann:example.org'])
  for (const tool of ['add_task_observer', 'remove_task_observer']) expect(await refused(tool, { task_id, observer_id: '@bob:example.org' }, bob)).toMatchObject({ code: 'task_not_found' })
  expect(await refused('list_task_observers', { task_id }, bob)).toMatchObject({ code: 'task_not_found' })
})
