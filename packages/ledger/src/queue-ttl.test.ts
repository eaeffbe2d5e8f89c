import { beforeEach, expect, test } from 'vitest'

import type { Task } from '@longshore/contracts'

import type { Ledger } from './ledger.ts'
import { aTask, claimOf, connect, ticket, type World } from './testing/world.ts'

const open = connect()
let world: World
let ledger: Ledger
beforeEach(() => {
  world = open()
  ledger = world.ledger
})
const TTL = 60_000
/** A task that was submitted so long ago. */
async function waiting(ms: number, queue_ttl_ms: number | undefined = TTL): Promise<Task> {
  const task = await world.submitted({ queue_ttl_ms })
  await world.redis.hincrby(world.keys.task(task.id), 'created_at', -ms)
  return task
}
const overdue = async () => (await ledger.liveTickets(undefined, 100)).overdue.map(({ task_id, limit }) => [task_id, limit])

test('G9: a task that nobody started in time is named, and ended with the limit that ended it', async () => {
  const late = await waiting(TTL + 5_000)
  const [early, patient] = [await waiting(TTL - 20_000), await world.submitted()]
  expect(await overdue()).toEqual([[late.id, 'queue_ttl_ms']])
  expect(await Promise.all([late, early, patient].map(({ id }) => ledger.timeoutUnowned(id, 1)))).toEqual([true, false, false])
  expect(await world.now(late.id)).toMatchObject({ state: 'timeout', limit: 'queue_ttl_ms', attempt: 0 })
  expect((await world.events(late)).at(-1)).toMatchObject({ known: true, type: 'task.timeout', payload: { limit: 'queue_ttl_ms', limit_ms: TTL, attempt: 0 } })
  expect(await overdue()).toEqual([])
  expect((await ledger.pendingTickets(10)).map((pending) => pending.ticket.task_id).toSorted()).toEqual([early.id, patient.id].toSorted())
})

test('G9: a worker that comes too late does not start it', async () => {
  const [late, early] = [await waiting(TTL), await waiting(TTL - 20_000)]
  expect(await ledger.take(ticket(late), 'w')).toEqual({ kind: 'nothing', reason: 'over' })
  expect(await world.types(late)).toEqual(['task.queued', 'task.timeout'])
  expect(await ledger.take(ticket(early), 'w')).toMatchObject({ kind: 'taken', task: { queue_ttl_ms: TTL } })
})

test('it ends with the first start: later waits count against the deadline', async () => {
  const task = await waiting(TTL - 20_000)
  const taken = await world.taken(task, 'w')
  await world.redis.hincrby(world.keys.task(task.id), 'created_at', -TTL)
  const requeued = await ledger.requeue(claimOf(taken), { reason: 'handover' })
  expect(await overdue()).toEqual([])
  expect(await ledger.timeoutUnowned(task.id, 2)).toBe(false)
  await world.redis.hset(world.keys.task(task.id), 'deadline_at', 5)
  expect(await overdue()).toEqual([[task.id, 'timeout_ms']])
  await expect(world.taken(requeued, 'w')).resolves.toMatchObject({ attempt: 1 })
})

test('G3: the last moment, 200 times: a take and the end of its time in the queue are never both', async () => {
  const ends = new Set<string>()
  const LEFT = [0, 1, 2, 3, 1_000]
  for (let i = 0; i < 200; i++) {
    const task = await waiting(TTL - (LEFT[i % LEFT.length] ?? 0))
    const race = [() => ledger.take(ticket(task), 'w'), () => world.peer.timeoutUnowned(task.id, 1)]
    if (i % 2 === 1) race.reverse()
    const answers = await Promise.all(race.map((step) => step()))
    const { state, attempt } = await world.now(task.id)
    const isTaken = answers.some((answer) => typeof answer === 'object' && answer.kind === 'taken')
    expect([state, attempt]).toEqual(isTaken ? ['running', 1] : ['timeout', 0])
    expect(answers.includes(true) && isTaken).toBe(false)
    expect(await world.types(task)).toEqual(['task.queued', isTaken ? 'task.started' : 'task.timeout'])
    ends.add(state)
  }
  expect(ends).toEqual(new Set(['running', 'timeout']))
})

test('G2: another time in the queue is another submit, and none is what it always was', async () => {
  const plain = await world.submitted({ idempotency_key: 'plain' })
  expect((await ledger.submit(aTask({ idempotency_key: 'plain' }))).task.id).toBe(plain.id)
  await expect(ledger.submit(aTask({ idempotency_key: 'plain', queue_ttl_ms: TTL }))).rejects.toMatchObject({ code: 'idempotency_conflict' })
  const bounded = await world.submitted({ idempotency_key: 'bounded', queue_ttl_ms: TTL })
  expect((await ledger.submit(aTask({ idempotency_key: 'bounded', queue_ttl_ms: TTL }))).task.id).toBe(bounded.id)
  await expect(ledger.submit(aTask({ idempotency_key: 'bounded', queue_ttl_ms: TTL + 1 }))).rejects.toMatchObject({ code: 'idempotency_conflict' })
})
