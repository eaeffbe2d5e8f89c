import { expect, test } from 'vitest'

import type { NewTask } from '@longshore/contracts'

import { aHandle, aTask, claimOf, completed, connect } from './testing/world.ts'

const open = connect()
const DAY = 24 * 60 * 60_000
const files = (bytes: number): Partial<NewTask> => ({ workspace: { files: { key: `task-x.sent.ledger`, count: 1, bytes, sha256: 'a'.repeat(64) } } })
const LIMIT = { sentBytes: 10_000 + 2 * 1_024 }

test('the files of an agent\'s tasks that are not over are bounded together; the refusal names the limit, and what is over makes room', async () => {
  const { ledger, submitted, running, redis, keys } = open()
  const waiting = await submitted(files(6_000))
  const runs = await running(files(4_000))
  const more = () => ledger.submit(aTask(files(1)), LIMIT)
  await expect(more()).rejects.toMatchObject({ code: 'overloaded', field: 'workspace.files', message: expect.stringMatching(/got 1 bytes.*12048 already.*allowed: 12048 together/) as string })
  expect(await ledger.submit(aTask({ ...files(1), agent_id: 'agent-b' }), LIMIT)).toMatchObject({ isNew: true })
  expect(await ledger.submit(aTask(), LIMIT)).toMatchObject({ isNew: true })
  await ledger.cancel(waiting.id, 'op')
  const next = await ledger.submit(aTask({ ...files(6_000), idempotency_key: 'k' }), LIMIT)
  await expect(more()).rejects.toMatchObject({ code: 'overloaded' })
  expect(await ledger.submit(aTask({ ...files(6_000), idempotency_key: 'k' }), LIMIT)).toMatchObject({ isNew: false, task: { id: next.task.id } })
  await ledger.end(claimOf(runs), completed)
  await ledger.cancel(next.task.id, 'op')
  expect(await redis.hgetall(keys.sent('agent-a'))).toEqual({ all: '0' })
})

test('what an older build ended, or somebody deleted, takes no room for long', async () => {
  const { ledger, submitted, redis, keys } = open()
  const [one, two] = [await submitted(files(6_000)), await submitted(files(4_000))]
  await redis.hset(keys.task(one.id), 'state', 'cancelled')
  await redis.del(keys.task(two.id))
  expect(await ledger.submit(aTask(files(10_000)), LIMIT)).toMatchObject({ isNew: true })
  expect(await redis.hget(keys.sent('agent-a'), 'all')).toBe(String(10_000 + 1_024))
})

test('what an older build let in without counting its files ends as any other, and so does who waits behind it', async () => {
  const { ledger, running, submitted, redis, keys } = open()
  const task = await running({ workspace: { name: 'app', ...files(4_000).workspace } })
  const waiting = await submitted({ workspace: { name: 'app', ...files(4_000).workspace } })
  await redis.del(keys.sent('agent-a'))
  expect(await ledger.end(claimOf(task), completed)).toMatchObject({ won: true, state: 'completed' })
  expect(await redis.zscore(keys.pending, `${waiting.id}-1`)).not.toBe('9000000000000000')
  expect(await ledger.cancel(waiting.id, 'op')).toMatchObject({ outcome: 'ended' })
  expect(await redis.exists(keys.sent('agent-a'))).toBe(0)
})

test('an agent has so many named workspaces and no more; a known one, another agent\'s, and one in place of what nobody used for long are none too many', async () => {
  const { ledger, submitted, redis, keys } = open()
  const limits = { workspaces: { most: 2, idleMs: DAY } }
  const using = (name: string, more: Partial<NewTask> = {}) => ledger.submit(aTask({ workspace: { name }, ...more }), limits)
  await using('one')
  await using('two')
  await expect(using('three')).rejects.toMatchObject({ code: 'overloaded', field: 'workspace.name', message: expect.stringMatching(/"three".*allowed: 2$/) as string })
  for (const one of [using('two'), using('three', { agent_id: 'agent-b' }), submitted()]) await one
  await redis.zadd(keys.names('agent-a'), Date.now() - 2 * DAY, 'one')
  expect(await using('three')).toMatchObject({ isNew: true })
  await expect(using('one')).rejects.toMatchObject({ code: 'overloaded' })
})

test('the name of a workspace is free when nobody has, awaits or used it for so long; the end of its last task is a use', async () => {
  const { ledger, running, submitted, redis, keys } = open()
  const named = { workspace: { name: 'app' } }
  const task = await running(named)
  const old = () => redis.zadd(keys.names('agent-a'), Date.now() - 2 * DAY, 'app')
  await old()
  expect(await ledger.forgetWorkspace('agent-a', 'app', DAY)).toBe(false)
  await ledger.saveHandle(claimOf(task), { ...aHandle, storage_id: 'storage-1' })
  await ledger.end(claimOf(task), completed)
  await ledger.strikeDebt(task.id)
  await ledger.saveKept(task.id, { bytes: 1, edition: 'e' })
  expect(await ledger.forgetWorkspace('agent-a', 'app', DAY)).toBe(false)
  await old()
  expect(await ledger.forgetWorkspace('agent-a', 'app', DAY)).toBe(true)
  expect([await redis.zcard(keys.names('agent-a')), await redis.hlen(keys.homes)]).toEqual([0, 0])
  const next = await submitted(named)
  expect(await ledger.forgetWorkspace('agent-a', 'app', 0)).toBe(false)
  await ledger.cancel(next.id, 'op')
  expect(await ledger.forgetWorkspace('agent-a', 'app', 0)).toBe(true)
})
