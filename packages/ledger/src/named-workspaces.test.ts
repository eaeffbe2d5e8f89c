import { expect, test } from 'vitest'

import { aHandle, claimOf, completed, connect, ticket } from './testing/world.ts'

const open = connect()
const named = { workspace: { name: 'app' } }

test('tasks of one named workspace of an agent run one after the other, in their order; others do not wait', async () => {
  const { ledger, submitted, taken, now, redis, keys } = open()
  const [one, two, three] = [await submitted(named), await submitted(named), await submitted(named)]
  const others = [await submitted({ workspace: { name: 'other' } }), await submitted({ ...named, agent_id: 'agent-b' }), await submitted()]
  const due = async () => (await ledger.pendingTickets(10)).filter(({ due_at }) => due_at < Date.now() + 60_000).map(({ ticket: { task_id } }) => task_id)
  expect(new Set(await due())).toEqual(new Set([one, ...others].map(({ id }) => id)))
  expect(await ledger.take(ticket(two), 'w')).toMatchObject({ kind: 'nothing' })
  const running = await taken(one, 'w')
  await ledger.saveHandle(claimOf(running), { ...aHandle, storage_id: 'storage-1' })
  await ledger.end(claimOf(running), completed)
  // Its container may still be there.
  expect(await due()).not.toContain(two.id)
  expect(await ledger.take(ticket(two), 'w')).toMatchObject({ kind: 'nothing' })
  await ledger.strikeDebt(one.id)
  // What it left is not put away yet.
  expect(await due()).not.toContain(two.id)
  await ledger.saveKept(one.id, { bytes: 1, edition: 'e' })
  expect(await due()).toContain(two.id)
  expect(await due()).not.toContain(three.id)
  // The second is cancelled before it starts, and has nothing to clean up.
  await ledger.cancel(two.id, 'op')
  expect(await due()).toContain(three.id)
  expect(await taken(await now(three.id), 'w')).toMatchObject({ state: 'running', home: 'storage-1' })
  expect(await redis.lrange(keys.line('agent-a', 'app'), 0, -1)).toEqual([three.id])
})

test('a submit whose workspace is taken brings no ticket; the same key finds it waiting', async () => {
  const { ledger, submitted } = open()
  await submitted(named)
  const waiting = await submitted({ ...named, idempotency_key: 'k' })
  expect(waiting.state).toBe('queued')
  expect((await ledger.submit({ ...waiting, id: `task-${'z'.repeat(26)}` })).task.id).toBe(waiting.id)
})

test('a paused task keeps its workspace, a retry too', async () => {
  const { ledger, submitted, taken, now } = open()
  const [one, two] = [await submitted(named), await submitted(named)]
  const running = await taken(one, 'w')
  await ledger.requeue(claimOf(running), { reason: 'retry', failure: { code: 'provider_busy', message: 'busy' }, delayMs: 0 })
  expect(await ledger.take(ticket(two), 'w')).toMatchObject({ kind: 'nothing' })
  await ledger.pause(one.id, 'op')
  expect((await now(one.id)).state).toBe('paused')
  expect(await ledger.take(ticket(two), 'w')).toMatchObject({ kind: 'nothing' })
  await ledger.resume(one.id, 'op')
  expect(await taken(await now(one.id), 'w')).toMatchObject({ state: 'running' })
})

test('a task that waits is not taken for lost; its turn comes also when nobody said so', async () => {
  const { ledger, submitted, redis, keys } = open()
  const [one, two] = [await submitted(named), await submitted(named)]
  expect(await ledger.reissue(two.id, two.ticket)).toBeUndefined()
  expect((await ledger.pendingTickets(10)).find(({ ticket: { task_id } }) => task_id === two.id)?.due_at).toBeGreaterThan(1e15)
  // As an older build ends it, and as somebody deletes it.
  await redis.del(keys.task(one.id))
  expect(await ledger.reissue(two.id, two.ticket)).toBeUndefined()
  expect((await ledger.pendingTickets(10)).find(({ ticket: { task_id } }) => task_id === two.id)?.due_at).toBeLessThan(1e15)
})

test('one that waits too long ends as any other, and those behind it move up', async () => {
  const { ledger, submitted, now } = open()
  const one = await submitted(named)
  const two = await submitted({ ...named, queue_ttl_ms: 1_000 })
  const three = await submitted(named)
  await expect.poll(() => ledger.timeoutUnowned(two.id, two.ticket)).toBe(true)
  expect((await now(two.id)).limit).toBe('queue_ttl_ms')
  await ledger.cancel(one.id, 'op')
  expect((await ledger.pendingTickets(10)).map(({ ticket: { task_id }, due_at }) => [task_id, due_at < 1e15])).toEqual([[three.id, true]])
})

test('what took long to be cleaned up is still put away before the next task changes it', async () => {
  const { ledger, submitted, taken, now, redis, keys } = open()
  const [one, two] = [await submitted(named), await submitted(named)]
  const running = await taken(one, 'w')
  await ledger.saveHandle(claimOf(running), { ...aHandle, storage_id: 'storage-1' })
  await ledger.end(claimOf(running), completed)
  // Its engine was away for a while.
  const endedAt = Number(await redis.hget(keys.task(one.id), 'ended_at')) - 30_000
  await redis.hset(keys.task(one.id), 'ended_at', String(endedAt))
  await redis.zadd(keys.keeps, String(endedAt), one.id)
  await ledger.strikeDebt(one.id)
  expect(await ledger.take(ticket(await now(two.id)), 'w')).toMatchObject({ kind: 'nothing' })
  await ledger.saveKept(one.id, { bytes: 1, edition: 'e' })
  expect(await taken(await now(two.id), 'w')).toMatchObject({ state: 'running' })
})

test('G4: what was kept first stands: a keeper that was suspended meanwhile saw the next task\'s files', async () => {
  const { ledger, submitted, taken, now } = open()
  const one = await submitted(named)
  const running = await taken(one, 'w')
  await ledger.saveHandle(claimOf(running), { ...aHandle, storage_id: 'storage-1' })
  await ledger.end(claimOf(running), completed)
  await ledger.saveKept(one.id, { bytes: 1, edition: 'e1' })
  await ledger.saveKept(one.id, { bytes: 2, edition: 'e2' })
  expect((await now(one.id)).kept).toMatchObject({ bytes: 1, edition: 'e1' })
  await ledger.saveGone(one.id, 'retention')
  await ledger.saveKept(one.id, { bytes: 2, edition: 'e2' })
  expect((await now(one.id)).kept).toMatchObject({ edition: 'e1', gone: { why: 'retention' } })
})

test('a task that ends between two attempts leaves word of where its workspace is', async () => {
  const { ledger, submitted, taken, now } = open()
  const [one, two] = [await submitted(named), await submitted(named)]
  const running = await taken(one, 'w')
  await ledger.saveHandle(claimOf(running), { ...aHandle, storage_id: 'storage-1' })
  await ledger.append(claimOf(running), [], 'p', [{ claim: 1, attempt: 1, storage_id: 'storage-1', bytes: 3 }])
  await ledger.requeue(claimOf(running), { reason: 'retry', failure: { code: 'provider_busy', message: 'busy' }, delayMs: 60_000 })
  await ledger.cancel(one.id, 'op')
  await ledger.saveKept(one.id, { bytes: 1, edition: 'e' })
  expect(await taken(await now(two.id), 'w')).toMatchObject({ home: 'storage-1' })
})

test('one that is resumed while it waits for its turn brings no ticket, and gets one when it is its turn', async () => {
  const { ledger, submitted } = open()
  const [one, two] = [await submitted(named), await submitted(named)]
  await ledger.pause(two.id, 'op')
  const answer = await ledger.resume(two.id, 'op')
  expect(answer).toMatchObject({ outcome: 'resumed', task: { state: 'queued' } })
  expect(answer).not.toHaveProperty('ticket')
  await ledger.cancel(one.id, 'op')
  expect((await ledger.pendingTickets(10)).map(({ ticket: { task_id, n }, due_at }) => [task_id, n, due_at < 1e15])).toEqual([[two.id, 2, true]])
})

test('what may be left on an engine that is gone holds up nobody for longer than its own watchdog lets it run', async () => {
  const { ledger, submitted, taken, redis, keys } = open()
  const [one, two] = [await submitted({ ...named, timeout_ms: 600_000 }), await submitted(named)]
  const running = await taken(one, 'w')
  await ledger.saveHandle(claimOf(running), { ...aHandle, storage_id: 'storage-1' })
  await ledger.end(claimOf(running), completed)
  await ledger.saveKept(one.id, { bytes: 1, edition: 'e' })
  const isDue = async () => (await ledger.pendingTickets(10)).some(({ ticket: { task_id }, due_at }) => task_id === two.id && due_at < 1e15)
  const owedFor = async (ms: number) => {
    await redis.zadd(keys.debts, String(Date.now() - ms), one.id)
    await ledger.reissue(two.id, two.ticket)
  }
  await owedFor(600_000)
  expect(await isDue()).toBe(false)
  await owedFor(700_000)
  expect(await isDue()).toBe(true)
  expect(await ledger.debts(10)).toEqual([one.id])
})
