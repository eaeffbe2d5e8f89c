import { beforeEach, expect, test } from 'vitest'

import type { Ledger } from './ledger.ts'
import { claimOf, connect, type World } from './testing/world.ts'

const open = connect()
let world: World
let ledger: Ledger
beforeEach(() => {
  world = open()
  ledger = world.ledger
})

test('a named pause asked again after somebody else resumed has no second effect, and is answered as the first time', async () => {
  const task = await world.submitted()
  expect(await ledger.pause(task.id, 'op', undefined, 'w1')).toMatchObject({ outcome: 'paused', before: 'queued' })
  await ledger.resume(task.id, 'other')
  expect(await ledger.pause(task.id, 'op', undefined, 'w1')).toMatchObject({ outcome: 'paused', before: 'queued', task: { state: 'queued' } })
  expect(await world.types(task)).toEqual(['task.queued', 'task.paused', 'task.queued'])
  expect(await ledger.pause(task.id, 'op', undefined, 'w2')).toMatchObject({ outcome: 'paused' })
})

test('a named resume asked again after the next pause has no second effect', async () => {
  const task = await world.submitted()
  await ledger.pause(task.id, 'op')
  expect(await ledger.resume(task.id, 'op', 'w1')).toMatchObject({ outcome: 'resumed', ticket: { n: 2 } })
  await ledger.pause(task.id, 'op')
  const again = await ledger.resume(task.id, 'op', 'w1')
  expect(again).toMatchObject({ outcome: 'resumed', before: 'paused', task: { state: 'paused' } })
  expect(again).not.toHaveProperty('ticket')
})

test('a named message that the agent has already, or that another followed, is not told twice', async () => {
  const task = await world.running()
  const mail = { message_id: 'm1', message_type: 'feedback', by: 'op', text: 'look' }
  await ledger.post(task.id, mail, 'w1')
  await ledger.post(task.id, { ...mail, message_id: 'm2' }, 'w2')
  await ledger.delivered(claimOf(task), 'm1')
  expect(await ledger.post(task.id, mail, 'w1')).toMatchObject({ outcome: 'waiting', before: 'running' })
  expect((await ledger.mail(task.id)).map(({ message_id }) => message_id)).toEqual(['m2'])
  expect((await world.types(task)).filter((type) => type === 'task.message')).toHaveLength(2)
})

test('a named cancel is answered as the first time also when the task is over by then; one of a task that is not known is not remembered', async () => {
  const task = await world.submitted()
  expect(await ledger.cancel(task.id, 'op', 'enough', 'w1')).toMatchObject({ outcome: 'ended', before: 'queued' })
  expect(await ledger.cancel(task.id, 'op', 'enough', 'w1')).toMatchObject({ outcome: 'ended', before: 'queued', task: { state: 'cancelled' } })
  expect(await ledger.cancel('task-00000000000000000000000000', 'op', 'enough', 'w2')).toBeUndefined()
  expect(await world.redis.exists(world.keys.wish('w2'))).toBe(0)
  expect(await world.redis.ttl(world.keys.wish('w1'))).toBeGreaterThan(6 * 24 * 60 * 60)
})
