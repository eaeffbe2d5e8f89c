import { beforeEach, describe, expect, test } from 'vitest'

import type { Handle, Task } from '@longshore/contracts'

import { ClaimLost, type Ledger } from './ledger.ts'
import { aHandle, claimOf, completed, connect, ticket, type World } from './testing/world.ts'

const open = connect()
let world: World
let ledger: Ledger
let peer: Ledger
beforeEach(() => {
  world = open();
  ({ ledger, peer } = world)
})
const onEngine = (engine_id: string): Handle => ({ ...aHandle, engine_id })
const HERE = { engineId: 'engine-here' }
const retry = { reason: 'retry', failure: { code: 'provider_busy', message: 'm' }, delayMs: 0 } as const

/** A task whose worker died; its execution lives on an engine, or nobody knows where. */
async function orphaned(handle?: Handle): Promise<Task> {
  const task = await world.running()
  if (handle !== undefined) await ledger.saveHandle(claimOf(task), handle)
  await ledger.ticketAdded(ticket(task))
  return task
}

describe('what a worker reaches', () => {
  test('a task whose execution lives on another engine is not taken, and nothing of it changes', async () => {
    const task = await orphaned(onEngine('engine-there'))
    const before = await world.redis.hgetall(world.keys.task(task.id))
    for (const reach of [HERE, {}]) {
      expect(await ledger.take(ticket(task), 'w', undefined, reach)).toEqual({ kind: 'nothing', reason: 'elsewhere', engineId: 'engine-there' })
    }
    expect(await world.redis.hgetall(world.keys.task(task.id))).toEqual(before)
    await expect(ledger.confirm(claimOf(task))).resolves.toBeUndefined()
    expect(await world.types(task)).toEqual(['task.queued', 'task.started'])
  })

  test.each([
    ['on the same engine', onEngine('engine-here'), HERE],
    ['that is bound to none', aHandle, HERE],
    ['elsewhere, when the worker may take it anywhere', onEngine('engine-there'), { ...HERE, anywhere: true }],
    ['elsewhere, when the worker did not say what it reaches', onEngine('engine-there'), undefined],
    ['that has not begun', undefined, HERE],
  ])('an execution %s is taken over', async (_, handle, reach) => {
    const task = await orphaned(handle)
    expect(await ledger.take(ticket(task), 'w', undefined, reach)).toMatchObject({ kind: 'taken', takeover: true, task: { claim: 2, worker: 'w' } })
  })
})

describe('a route', () => {
  test('goes with the next ticket wherever tickets are told, and with every later one, until the task is taken', async () => {
    const task = await orphaned(onEngine('engine-there'))
    const routed = await ledger.reroute(task.id, 1, 'engine-there')
    expect(routed).toMatchObject({ n: 2, engine_id: 'engine-there', min_worker: 2 })
    expect((await ledger.pendingTickets(10)).map((pending) => pending.ticket)).toEqual([routed])
    expect((await ledger.liveTickets(undefined, 10)).tickets).toEqual([routed])
    expect(await world.now(task.id)).toMatchObject({ state: 'running', claim: 1, route: 'engine-there' })
    expect((await ledger.list({ limit: 1 }))[0]?.route).toBe('engine-there')
    await ledger.ticketAdded({ task_id: task.id, n: 2 })
    expect(await ledger.reissue(task.id, 2)).toMatchObject({ n: 3, engine_id: 'engine-there' })
    expect((await world.taken({ id: task.id, ticket: 3 }, 'w', { engineId: 'engine-there' })).route).toBeUndefined()
    expect((await ledger.liveTickets(undefined, 10)).tickets[0]?.engine_id).toBeUndefined()
  })

  test('of a task that waits is cleared for all workers; a ticket that is not due yet keeps its time', async () => {
    const task = await world.running()
    const requeued = await ledger.requeue(claimOf(task), { ...retry, delayMs: 60_000 })
    const [before] = await ledger.pendingTickets(1)
    expect(await ledger.reroute(task.id, requeued.ticket, 'engine-there')).toMatchObject({ n: 3, engine_id: 'engine-there' })
    const cleared = await ledger.reroute(task.id, 3, undefined)
    expect(cleared).toMatchObject({ n: 4, min_worker: 1 })
    expect(cleared?.engine_id).toBeUndefined()
    expect(await ledger.pendingTickets(10)).toEqual([{ ticket: cleared, due_at: before?.due_at }])
    expect((await world.types(task)).at(-1)).toBe('task.queued')
  })

  test('is not given to a task that is over or has moved on, nor cleared where there is none', async () => {
    const task = await orphaned(onEngine('engine-there'))
    expect(await ledger.reroute(task.id, 7, 'engine-there')).toBeUndefined()
    expect(await ledger.reroute(task.id, 1, undefined)).toBeUndefined()
    await ledger.end(claimOf(task), completed)
    expect(await ledger.reroute(task.id, 1, 'engine-there')).toBeUndefined()
    expect(await world.now(task.id)).toMatchObject({ state: 'completed', ticket: 1 })
  })

  test('ends with the attempt: a retry and a restart may begin anywhere', async () => {
    const [retried, restarted] = [await orphaned(onEngine('e')), await orphaned(onEngine('e'))]
    // The owner is quicker than whoever thought it dead.
    await Promise.all([retried, restarted].map(({ id }) => ledger.reroute(id, 1, 'e')))
    expect((await ledger.requeue(claimOf(retried), retry)).route).toBeUndefined()
    expect((await ledger.restart(claimOf(restarted), 'worker-1')).route).toBeUndefined()
  })

  test('G4: rerouting a task that an owner still writes to costs nobody its claim until the next take', async () => {
    const task = await orphaned(onEngine('engine-there'))
    await ledger.reroute(task.id, 1, 'engine-there')
    await ledger.confirm(claimOf(task))
    await world.taken({ id: task.id, ticket: 2 }, 'w', { engineId: 'engine-there' })
    await expect(ledger.confirm(claimOf(task))).rejects.toThrow(ClaimLost)
  })

  test('G4: a reconciler that gives a ticket to everybody while its engine\'s worker takes it: never both, 200 times', async () => {
    const claims = new Set<number>()
    for (let i = 0; i < 200; i++) {
      const task = await orphaned(onEngine('engine-there'))
      await ledger.reroute(task.id, 1, 'engine-there')
      const race = [() => ledger.take({ task_id: task.id, n: 2 }, 'back again', undefined, { engineId: 'engine-there' }), () => peer.reroute(task.id, 2, undefined)]
      if (i % 2 === 1) race.reverse()
      await Promise.all(race.map((step) => step()))
      const now = await world.now(task.id)
      expect(now.route).toBeUndefined()
      expect([now.claim, now.ticket]).toEqual(now.claim === 2 ? [2, 2] : [1, 3])
      claims.add(now.claim)
    }
    expect(claims).toEqual(new Set([1, 2]))
  })
})

test('G12: a task that was checkpointed is for workers that can go on with its session', async () => {
  const task = await orphaned({ ...aHandle, checkpoint: true })
  const requeued = await ledger.requeue(claimOf(task), { reason: 'handover' })
  const [pending] = await ledger.pendingTickets(1)
  expect(pending?.ticket).toMatchObject({ n: 2, min_worker: 2 })
  expect((await ledger.liveTickets(undefined, 1)).tickets).toEqual([pending?.ticket])
  const resumed = await world.taken(requeued, 'w')
  await ledger.saveHandle(claimOf(resumed), aHandle)
  expect(await ledger.reissue(task.id, 2)).toMatchObject({ n: 3, min_worker: 1 })
})
