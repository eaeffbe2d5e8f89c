import { beforeEach, expect, test } from 'vitest'

import { type Cursor, START } from '@longshore/contracts'

import { readFrom } from './read-from.ts'
import { claimOf, completed, connect, type World } from './testing/world.ts'

const open = connect()
let world: World
beforeEach(() => {
  world = open()
})

const ended = async () => {
  const task = await world.running()
  await world.ledger.append(claimOf(task), [{ type: 'task.output', payload: { text: 'words', stream: 'agent' } }])
  await world.ledger.end(claimOf(task), completed)
  return task
}
const read = (id: Parameters<typeof world.ledger.read>[0], after: Cursor) => world.ledger.read(id, after, 100)

test('logs of tasks that are over are kept whole, counted, and trimmed to their ends', async () => {
  const [one, two, running] = [await ended(), await ended(), await world.running()]
  const [first = 0, second = 0] = await Promise.all([one, two].map(async ({ id }) => (await world.redis.lrange(world.keys.log(id), 0, -1)).join('').length))
  expect(await world.ledger.logBytes()).toBe(first + second)
  expect((await world.ledger.wholeLogs(10)).map(({ id }) => id)).toEqual([one.id, two.id])
  expect(await world.ledger.trimLog(running.id)).toBe(0)
  expect(await world.ledger.trimLog(one.id)).toBe(first)
  expect(await world.ledger.trimLog(one.id)).toBe(0)
  expect(await world.ledger.logBytes()).toBe(second)
  expect(await world.types(one)).toEqual(['task.completed'])
  expect(await world.types(two)).toHaveLength(4)
  expect(await world.types(running)).toHaveLength(2)
})

test('G6: over a trim, a cursor before the end is reset, one at the end fits, and seq goes on counting', async () => {
  const task = await ended()
  const events = await world.events(task)
  await world.ledger.trimLog(task.id)
  for (const event of events.slice(0, 3)) expect(await read(task.id, event)).toEqual({ kind: 'cursor_reset', earliest: { seq: 3, id: '' }, total: 4 })
  expect(await read(task.id, events[3] as Cursor)).toMatchObject({ kind: 'events', events: [], total: 4 })
  expect(await read(task.id, START)).toMatchObject({ kind: 'events', events: [{ seq: 4, type: 'task.completed' }] })
  expect((await readFrom(world.ledger, task.id, 2, 100)).map(({ seq }) => seq)).toEqual([4])
  const fleet = await world.ledger.readFleetEvents('0', 100)
  if (fleet.kind !== 'events') throw new Error('a reset')
  expect(fleet.entries.map(({ seq, type, event }) => [seq, type, event?.seq])).toEqual([[1, 'task.queued', undefined], [2, 'task.started', undefined], [3, 'task.output', undefined], [4, 'task.completed', 4]])
})
