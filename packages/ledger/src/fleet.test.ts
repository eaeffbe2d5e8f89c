import { beforeEach, expect, test } from 'vitest'

import { connect, type World } from './testing/world.ts'

const open = connect()
let world: World
beforeEach(() => {
  world = open()
})

const read = async (after: string, limit = 100) => {
  const page = await world.ledger.readFleetEvents(after, limit)
  if (page.kind !== 'events') throw new Error('a reset')
  return page
}

test('the global cursor goes through the events of all tasks, in the order in which they happened', async () => {
  const [one, two] = [await world.submitted(), await world.running()]
  const first = await read('0', 2)
  expect(first.entries.map(({ taskId, seq, event }) => [taskId, seq, event?.type])).toEqual([[one.id, 1, 'task.queued'], [two.id, 1, 'task.queued']])
  const rest = await read(first.cursor)
  expect(rest.entries.map(({ taskId, seq, type }) => [taskId, seq, type])).toEqual([[two.id, 2, 'task.started']])
  expect(await read(rest.cursor)).toEqual({ kind: 'events', entries: [], cursor: rest.cursor, isMore: false })
  expect(await world.ledger.fleetEnd()).toBe(rest.cursor)
})

test('G6: a position that was trimmed, or is of another history, is answered with the earliest', async () => {
  await world.running()
  const [first] = (await read('0')).entries
  await world.redis.xtrim(world.keys.fleet, 'MAXLEN', 1)
  expect(await world.ledger.readFleetEvents(first?.position ?? '', 10)).toEqual({ kind: 'cursor_reset', earliest: '0' })
  expect(await world.ledger.readFleetEvents('9999999999999-0', 10)).toEqual({ kind: 'cursor_reset', earliest: '0' })
  expect((await read('0')).entries).toHaveLength(1)
})

test('who has everything is not reset when all of it is trimmed', async () => {
  await world.running()
  const end = await world.ledger.fleetEnd()
  await world.redis.xtrim(world.keys.fleet, 'MAXLEN', 0)
  expect(await read(end)).toEqual({ kind: 'events', entries: [], cursor: end, isMore: false })
})

test('nothing happened yet: whoever begins there is reset to the beginning by the first event, and misses nothing', async () => {
  expect(await world.ledger.fleetEnd()).toBe('0')
  expect(await read('0')).toEqual({ kind: 'events', entries: [], cursor: '0', isMore: false })
  expect(await world.ledger.readFleetEvents('1-1', 10)).toEqual({ kind: 'cursor_reset', earliest: '0' })
})

test('a change of observers is no event: the cursor goes past it, and nothing is told twice', async () => {
  const task = await world.running()
  const before = await read('0')
  await world.ledger.watch(task.id, { id: '@ann:hs', type: 'human', read_only: true, by: 'agent-a' })
  const page = await read(before.cursor, 1)
  expect(page).toMatchObject({ entries: [], isMore: true })
  expect(page.cursor).toBe(await world.ledger.fleetEnd())
})
