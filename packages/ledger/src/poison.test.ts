import { beforeEach, expect, test } from 'vitest'

import { ClaimLost, type Ledger } from './ledger.ts'
import { aHandle, aTask, claimOf, completed, connect, poison, type World } from './testing/world.ts'

const open = connect()
let world: World
let ledger: Ledger
beforeEach(() => {
  world = open()
  ledger = world.ledger
})
/** As if the current owner had held the task for so long. */
const age = (id: string, ms: number) => world.redis.hincrby(world.keys.task(id), 'taken_at', -ms)

test('every owner that died soon after its take is counted, and one that held it for long starts the count again', async () => {
  const task = await world.running()
  expect(task.crashes).toBeUndefined()
  expect((await world.taken(task, 'w2')).crashes).toBe(1)
  await age(task.id, 59_000)
  expect((await world.taken(task, 'w3')).crashes).toBe(2)
  await age(task.id, 66_000)
  expect((await world.taken(task, 'w4')).crashes).toBe(1)
  expect((await ledger.list({ limit: 1 }))[0]?.crashes).toBe(1)
})

test('crashes outlast a new attempt in the same take, and end with an orderly return to the queue', async () => {
  const task = await world.running()
  const second = await world.taken(task, 'w2')
  expect((await ledger.restart(claimOf(second), 'w2')).crashes).toBe(1)
  expect((await ledger.requeue(claimOf(second), { reason: 'handover' })).crashes).toBeUndefined()
  expect((await world.taken({ id: task.id, ticket: 2 }, 'w3')).crashes).toBeUndefined()
})

test('an owner that is alive and lets go is no crash', async () => {
  const task = await world.running()
  const second = await world.taken(task, 'w2')
  await ledger.letGo(claimOf(second))
  const third = await world.taken(task, 'w2')
  expect(third).toMatchObject({ claim: 3, crashes: 1 })
  await expect(ledger.letGo(claimOf(second))).rejects.toThrow(ClaimLost)
  expect((await world.taken(task, 'w3')).crashes).toBe(2)
})

test('an uncounted retry gives the number of the attempt back, a counted one does not', async () => {
  const retry = { reason: 'retry', failure: { code: 'backend_unavailable', message: 'm' }, delayMs: 0 } as const
  const task = await world.running()
  await ledger.saveHandle(claimOf(task), aHandle)
  await ledger.append(claimOf(task), [], 'byte 17')
  expect(await ledger.requeue(claimOf(task), { ...retry, uncounted: true })).not.toHaveProperty('handle')
  const again = await world.taken({ id: task.id, ticket: 2 }, 'w')
  expect(again).toMatchObject({ attempt: 1, deadline_at: task.deadline_at })
  expect(again.position).toBeUndefined()
  expect((await world.events(task))[2]).toMatchObject({ type: 'task.retrying', payload: { attempt: 1, failure: retry.failure } })
  await ledger.requeue(claimOf(again), retry)
  expect((await world.taken({ id: task.id, ticket: 3 }, 'w')).attempt).toBe(2)
})

test('what killed its workers is on the list from the moment of its end, newest first, and whatever ended otherwise is not', async () => {
  const [first, other, second] = [await world.running(), await world.running(), await world.running()]
  expect(await ledger.isPoisoned(first.id)).toBe(false)
  await ledger.end(claimOf(first), poison)
  await ledger.end(claimOf(other), { state: 'failed', payload: { failure: { code: 'agent_error', message: 'it printed "code":"poison"' } } })
  await ledger.end(claimOf(second), completed)
  expect((await ledger.poisoned(10)).map(({ id }) => id)).toEqual([first.id])
  const third = await world.running()
  await ledger.failUnowned(third.id, third.ticket, poison.payload.failure)
  expect((await ledger.poisoned(10)).map(({ id, state, failure }) => [id, state, failure?.code])).toEqual([[third.id, 'failed', 'poison'], [first.id, 'failed', 'poison']])
  expect((await ledger.poisoned(1, 1)).map(({ id }) => id)).toEqual([first.id])
})

test('G3: an end that loses leaves nothing on the list', async () => {
  const states = new Set<string>()
  for (let i = 0; i < 100; i++) {
    const task = await world.running()
    const race = [() => ledger.end(claimOf(task), poison), () => world.peer.end(claimOf(task), completed)]
    if (i % 2 === 1) race.reverse()
    await Promise.all(race.map((end) => end()))
    const { state } = await world.now(task.id)
    expect(await ledger.isPoisoned(task.id)).toBe(state === 'failed')
    states.add(state)
  }
  expect(states).toEqual(new Set(['failed', 'completed']))
})

test('a task leaves the list once', async () => {
  const task = await world.running()
  await ledger.end(claimOf(task), poison)
  expect(await Promise.all([1, 2, 3].map(() => ledger.unpoison(task.id)))).toEqual([true, false, false])
  expect(await ledger.isPoisoned(task.id)).toBe(false)
  expect(await ledger.poisoned(10)).toEqual([])
  expect(await ledger.unpoison(aTask().id)).toBe(false)
  expect(await world.now(task.id)).toMatchObject({ state: 'failed', failure: { code: 'poison' } })
})

test('a record that somebody deleted does not stand in the way of the list', async () => {
  const [gone, there] = [await world.running(), await world.running()]
  for (const task of [gone, there]) await ledger.end(claimOf(task), poison)
  await world.redis.del(world.keys.task(gone.id))
  expect((await ledger.poisoned(10)).map(({ id }) => id)).toEqual([there.id])
})
