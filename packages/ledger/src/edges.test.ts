import { randomBytes } from 'node:crypto'
import { sharedRedisUrl } from '@longshore/testkit'
import { Redis } from 'ioredis'
import { afterAll, expect, test } from 'vitest'

import { MAX_EVENTS_PER_TASK, NewTask, SILENT, START, type Task, taskIdFrom } from '@longshore/contracts'

import { createApiKeys } from './api-keys.ts'
import { createLedger } from './create-ledger.ts'
import { keysOf } from './keys.ts'

const redis = new Redis(sharedRedisUrl())
afterAll(() => redis.disconnect())
const deployment = `t-${randomBytes(6).toString('hex')}`
const ledger = createLedger({ redis, deployment, log: SILENT })
const claimOf = ({ id, claim }: Task) => ({ taskId: id, claim })
const handle = { v: 1, mode: 'docker', data: { container: 'c1' } } as const

async function running(): Promise<Task> {
  const { task } = await ledger.submit(NewTask.parse({ id: taskIdFrom(randomBytes(52)), agent_id: 'agent-a', prompt: 'p', title: 't', mode: 'docker' }))
  const take = await ledger.take({ task_id: task.id, n: 1 }, 'worker-1')
  if (take.kind !== 'taken') throw new Error(`not taken: ${take.reason}`)
  return take.task
}
async function lastEvents(task: Task, count: number) {
  const { seq = 0 } = (await ledger.get(task.id)) ?? {}
  const page = await ledger.read(task.id, { seq: seq - count, id: '' }, count)
  return page?.kind === 'events' ? page.events : []
}

test.each([1, 2_100, MAX_EVENTS_PER_TASK + 100])('G5: %d events at once keep record, log and source position in step', async (count) => {
  const task = await running()
  const events = Array.from({ length: count }, () => ({ type: 'task.output' as const, payload: { text: 'x', stream: 'agent' as const } }))
  const seq = await ledger.append(claimOf(task), events, 'the position')
  expect(seq).toBe(Math.min(count + 2, MAX_EVENTS_PER_TASK))
  expect(await redis.llen(keysOf(deployment).log(task.id))).toBe(seq)
  expect(await ledger.get(task.id)).toMatchObject({ seq, position: 'the position' })
  await ledger.end(claimOf(task), { state: 'failed', payload: { failure: { code: 'internal', message: 'm' } } })
  expect(await lastEvents(task, 1)).toMatchObject([{ seq: seq + 1, type: 'task.failed' }])
})

test('a full log says once, as its last words, that it is full (G5)', async () => {
  const task = await running()
  const say = (count: number) => ledger.append(claimOf(task), Array.from({ length: count }, () => ({ type: 'task.output' as const, payload: { text: 'x', stream: 'agent' as const } })))
  expect([await say(MAX_EVENTS_PER_TASK - 3), await say(1), await say(2)]).toEqual([MAX_EVENTS_PER_TASK - 1, MAX_EVENTS_PER_TASK, MAX_EVENTS_PER_TASK])
  expect(await lastEvents(task, 2)).toMatchObject([{ payload: { text: 'x' } }, { known: true, type: 'task.output', payload: { text: expect.stringContaining('is full') as string } }])
})

test.each([
  { reason: 'retry', failure: { code: 'provider_busy', message: 'm' }, delayMs: 60_000 } as const,
  { reason: 'handover' } as const,
])('G3: a cancel that comes while its owner lets go ($reason) is carried out at once, not by the next ticket', async (why) => {
  const task = await running()
  await ledger.saveHandle(claimOf(task), handle)
  expect(await ledger.cancel(task.id, 'agent-a', 'no "need"')).toMatchObject({ outcome: 'requested' })
  expect(await ledger.requeue(claimOf(task), why)).toMatchObject({ state: 'cancelled', ticket: 1, handle })
  const [event] = await lastEvents(task, 1)
  expect(event).toMatchObject({ known: true, type: 'task.cancelled' })
  expect(event?.payload).toEqual({ attempt: 1, duration_ms: expect.any(Number) as number, by: 'agent-a', reason: 'no "need"' })
  expect(await ledger.debts(1_000)).toContain(task.id)
})

test('G9: an end whose words do not fit the record ends the task all the same, and the record stays readable', async () => {
  const usage = { input_tokens: 0.5, output_tokens: 1, reasoning_tokens: 0, cache_read_tokens: 0, cache_write_tokens: 0, cost_micros: 0 }
  const result = { output: 'done', output_truncated: false, exit_code: 0.1, files_changed: -1, usage }
  const [completed, failed] = [await running(), await running()]
  await ledger.end(claimOf(completed), { state: 'completed', payload: { result } })
  await ledger.end(claimOf(failed), { state: 'failed', payload: { failure: { code: 'agent_error', message: 'm'.repeat(5_000) }, result } })
  const readable = { output: 'done', output_truncated: false, files_changed: 0 }
  const failure = { code: 'agent_error', message: 'm'.repeat(4_096) }
  expect((await ledger.get(completed.id))?.result).toEqual(readable)
  expect(await ledger.get(failed.id)).toMatchObject({ state: 'failed', failure, result: readable })
  expect(await lastEvents(completed, 1)).toMatchObject([{ known: true, type: 'task.completed', payload: { result: readable } }])
  expect(await lastEvents(failed, 1)).toMatchObject([{ known: true, type: 'task.failed', payload: { failure, result: readable } }])
})

test('a record that cannot be read is missing in lists, and hides no other', async () => {
  const [broken, sound] = [await running(), await running()]
  await redis.hset(keysOf(deployment).task(broken.id), 'state', 'a state of the future')
  const ids = new Set((await ledger.list({ limit: 1_000 })).map(({ id }) => id))
  expect([ids.has(sound.id), ids.has(broken.id)]).toEqual([true, false])
})

test('tickets of deleted records do not stand in the way of others', async () => {
  const deleted = await running()
  await ledger.requeue(claimOf(deleted), { reason: 'handover' })
  await redis.del(keysOf(deployment).task(deleted.id))
  const other = await running()
  await ledger.requeue(claimOf(other), { reason: 'handover' })
  const first = async () => (await ledger.pendingTickets(1)).map(({ ticket }) => ticket.task_id)
  expect([await first(), await first()]).toEqual([[], [other.id]])
})

test('G6: of a trimmed log readers get what is kept, and a reset where they stood before that', async () => {
  const task = await running()
  await ledger.append(claimOf(task), ['a', 'b', 'c'].map((text) => ({ type: 'task.output', payload: { text, stream: 'agent' } })))
  const last = (await lastEvents(task, 1))[0]?.id ?? ''
  const [third] = await lastEvents(task, 3)
  const [first] = await lastEvents(task, 5)
  await redis.ltrim(keysOf(deployment).log(task.id), 2, -1)
  await redis.hset(keysOf(deployment).task(task.id), 'base', 2)
  const earliest = { seq: 2, id: '' }
  const seqsAfter = async (seq: number, id: string, limit = 10) => {
    const page = await ledger.read(task.id, { seq, id }, limit)
    return page?.kind === 'events' ? page.events.map((event) => event.seq) : page
  }
  const reset = { kind: 'cursor_reset', earliest, total: 5 }
  expect(await Promise.all([seqsAfter(START.seq, START.id), seqsAfter(0, '', 2), seqsAfter(2, ''), seqsAfter(2, '', 1), seqsAfter(3, third?.id ?? '', 1), seqsAfter(4, ''), seqsAfter(5, last)]))
    .toEqual([[3, 4, 5], [3, 4], [3, 4, 5], [3], [4], [5], []])
  expect(await Promise.all([seqsAfter(1, first?.id ?? ''), seqsAfter(1, ''), seqsAfter(5, third?.id ?? '')])).toEqual([reset, reset, reset])
})

test('G6: a reader of the fleet stream learns that entries were trimmed which it may not have read', async () => {
  const { fleet } = keysOf(deployment)
  await running()
  const [first, second] = await ledger.readFleet('0', 2)
  const last = (await ledger.readFleet('0', 100_000)).at(-1)?.position
  expect(await Promise.all(['0', first?.position ?? '', last ?? ''].map((position) => ledger.fleetGap(position)))).toEqual([undefined, undefined, undefined])
  await redis.xtrim(fleet, 'MINID', second?.position ?? '')
  expect(await Promise.all(['0', first?.position ?? ''].map((position) => ledger.fleetGap(position)))).toEqual([last, last])
  expect(await ledger.fleetGap(second?.position ?? '')).toBeUndefined()
  await redis.xtrim(fleet, 'MAXLEN', 0)
  expect(await Promise.all([second?.position ?? '', last ?? ''].map((position) => ledger.fleetGap(position)))).toEqual([last, undefined])
  await redis.del(fleet)
  expect(await Promise.all(['0', last ?? ''].map((position) => ledger.fleetGap(position)))).toEqual([undefined, '0'])
})

test('G11: a key that is one holder\'s is not silently given to another', async () => {
  const keys = createApiKeys(redis, deployment)
  await keys.provision('a key of sixteen and more', { agentId: 'agent-a' }, 'first')
  await expect(keys.provision('a key of sixteen and more', { agentId: 'agent-a' }, 'again')).resolves.toMatchObject({ agent_id: 'agent-a', name: 'first' })
  for (const holder of ['operator', { agentId: 'agent-b' }] as const) {
    await expect(keys.provision('a key of sixteen and more', holder, 'second')).rejects.toThrow('belongs to the agent agent-a already')
  }
  expect(await keys.verify('a key of sixteen and more')).toMatchObject({ agent_id: 'agent-a', scopes: ['tasks'] })
})
