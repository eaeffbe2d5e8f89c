import { sharedRedisUrl, waitFor } from '@longshore/testkit'
import { Redis } from 'ioredis'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'

import { SILENT, START, type Task } from '@longshore/contracts'

import { createLedger } from './create-ledger.ts'
import { createDoorbell } from './doorbell.ts'
import { ClaimLost, type Ledger } from './ledger.ts'
import { aHandle, aTask, claimOf, completed, connect, ticket, type World } from './testing/world.ts'

const connections: Redis[] = []
afterAll(() => connections.forEach((connection) => connection.disconnect()))

const open = connect()
let world: World
let deployment: string
let redis: Redis
let ledger: Ledger
let submitted: World['submitted']
let running: World['running']
let eventsOf: World['events']
let typesOf: World['types']
beforeEach(() => {
  world = open();
  ({ deployment, redis, ledger, submitted, running, events: eventsOf, types: typesOf } = world)
})

describe('submit', () => {
  test('a task is queued with its first event and its first ticket, in one step', async () => {
    const { task, isNew } = await ledger.submit(aTask({ observers: ['@ann:example.org'] }))
    expect(isNew).toBe(true)
    expect(task).toMatchObject({ state: 'queued', claim: 0, attempt: 0, ticket: 1, seq: 1, observers: ['@ann:example.org'] })
    expect(await ledger.get(task.id)).toEqual(task)
    expect(await typesOf(task)).toEqual(['task.queued'])
    expect((await ledger.pendingTickets(10)).map((pending) => pending.ticket)).toEqual([
      { v: 1, task_id: task.id, n: 1, agent_id: 'agent-a', mode: 'docker', title: 'write a poem', min_worker: 1 },
    ])
  })

  test('G2: the same agent with the same key gets the same task, in any state and however often', async () => {
    const first = await running({ idempotency_key: 'k' })
    const again = await Promise.all(Array.from({ length: 20 }, () => ledger.submit(aTask({ idempotency_key: 'k' }))))
    expect(new Set(again.map(({ task, isNew }) => `${task.id} ${isNew}`))).toEqual(new Set([`${first.id} false`]))
    await ledger.end(claimOf(first), completed)
    expect((await ledger.submit(aTask({ idempotency_key: 'k' }))).task).toMatchObject({ id: first.id, state: 'completed' })
  })

  test('G2, L-10: two agents never share a key', async () => {
    const mine = await submitted({ idempotency_key: 'k' })
    const theirs = await submitted({ idempotency_key: 'k', agent_id: 'agent-b' })
    expect(theirs.id).not.toBe(mine.id)
  })

  test('a reused key with other input is a conflict that names the first task and leaves nothing behind', async () => {
    const first = await submitted({ idempotency_key: 'k' })
    const second = aTask({ idempotency_key: 'k', prompt: 'something else' })
    await expect(ledger.submit(second)).rejects.toMatchObject({ code: 'idempotency_conflict', message: expect.stringContaining(first.id) as string })
    expect(await ledger.get(second.id)).toBeUndefined()
    await expect(ledger.submit(aTask({ idempotency_key: 'k', network: 'full' }))).rejects.toMatchObject({ code: 'idempotency_conflict' })
    expect(await ledger.list({ limit: 10 })).toHaveLength(1)
  })

  test('a list holds everything of a task but its prompt, and reads no prompt', async () => {
    const task = await running({ prompt: 'p'.repeat(200_000) })
    await ledger.saveHandle(claimOf(task), aHandle)
    await ledger.append(claimOf(task), [], 'byte 17')
    await ledger.cancel(task.id, 'op', 'stop')
    const before = redis.stream.bytesRead
    const [summary] = await ledger.list({ limit: 10 })
    expect(redis.stream.bytesRead - before).toBeLessThan(50_000)
    expect({ ...summary, prompt: 'p'.repeat(200_000) }).toEqual(await ledger.get(task.id))
  })

  test('G2: twenty parallel submits with one key make one task', async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => ledger.submit(aTask({ idempotency_key: 'same' }))))
    expect(answers.filter(({ isNew }) => isNew)).toHaveLength(1)
    expect(new Set(answers.map(({ task }) => task.id)).size).toBe(1)
  })

  test('at 80 % of maxmemory submits are refused, and a running task goes on', async () => {
    const task = await running()
    const full = createLedger({ redis: withMemory(redis, 'used_memory:81\r\nmaxmemory:100\r\n'), deployment, log: SILENT })
    await expect(full.submit(aTask())).rejects.toMatchObject({ code: 'overloaded' })
    await expect(full.append(claimOf(task), [{ type: 'task.output', payload: { text: 'on', stream: 'agent' } }])).resolves.toBe(3)
  })
})

describe('claims', () => {
  test('the first take starts attempt 1 and the clock', async () => {
    const task = await running({ timeout_ms: 60_000 })
    expect(task).toMatchObject({ state: 'running', claim: 1, attempt: 1, worker: 'worker-1' })
    expect((task.deadline_at ?? 0) - (task.started_at ?? 0)).toBe(60_000)
    expect((await eventsOf(task))[1]).toMatchObject({ type: 'task.started', payload: { attempt: 1, claim: 1, worker: 'worker-1', mode: 'docker' }, known: true })
  })

  test('a ticket that is not the current one, an ended task and an unknown one are nothing to do', async () => {
    const task = await running()
    expect(await ledger.take({ task_id: task.id, n: 7 }, 'w')).toEqual({ kind: 'nothing', reason: 'stale_ticket' })
    await ledger.end(claimOf(task), completed)
    expect(await ledger.take(ticket(task), 'w')).toEqual({ kind: 'nothing', reason: 'over' })
    expect(await ledger.take(ticket(aTask() as Task), 'w')).toEqual({ kind: 'nothing', reason: 'unknown' })
  })

  test('G4: whoever was taken over can write nothing more', async () => {
    const old = await running()
    const take = await ledger.take(ticket(old), 'worker-2')
    expect(take).toMatchObject({ kind: 'taken', takeover: true, task: { claim: 2, attempt: 1, worker: 'worker-2' } })
    const stale = claimOf(old)
    await expect(ledger.append(stale, [{ type: 'task.output', payload: { text: 'ghost', stream: 'agent' } }])).rejects.toThrow(ClaimLost)
    await expect(ledger.saveHandle(stale, aHandle)).rejects.toThrow(ClaimLost)
    await expect(ledger.confirm(stale)).rejects.toThrow(ClaimLost)
    await expect(ledger.requeue(stale, { reason: 'handover' })).rejects.toThrow(ClaimLost)
    await expect(ledger.restart(stale, 'worker-1')).rejects.toThrow(ClaimLost)
    expect(await ledger.end(stale, completed)).toEqual({ won: false, state: 'running' })
    expect(await typesOf(old)).toEqual(['task.queued', 'task.started'])
  })

  test('a retry is queued with the next ticket, due later; the handle of the failed attempt is forgotten', async () => {
    const task = await running()
    await ledger.saveHandle(claimOf(task), aHandle)
    const requeued = await ledger.requeue(claimOf(task), { reason: 'retry', failure: { code: 'provider_busy', message: '429' }, delayMs: 60_000 })
    expect(requeued).toMatchObject({ state: 'queued', ticket: 2 })
    expect(requeued.handle).toBeUndefined()
    const [pending] = await ledger.pendingTickets(1)
    expect((pending?.due_at ?? 0) - Date.now()).toBeGreaterThan(30_000)
    const next = await ledger.take(ticket(requeued), 'worker-2')
    expect(next).toMatchObject({ kind: 'taken', takeover: false, task: { attempt: 2, deadline_at: task.deadline_at } })
    expect(await typesOf(task)).toEqual(['task.queued', 'task.started', 'task.retrying', 'task.queued', 'task.started'])
    expect((await eventsOf(task))[2]?.payload).toMatchObject({ attempt: 1, delay_ms: 60_000 })
  })

  test('a handover keeps handle, position and attempt; the releasing worker can write no more', async () => {
    const task = await running()
    await ledger.saveHandle(claimOf(task), aHandle)
    await ledger.append(claimOf(task), [], 'byte 17')
    const requeued = await ledger.requeue(claimOf(task), { reason: 'handover' })
    await expect(ledger.confirm(claimOf(task))).rejects.toThrow(ClaimLost)
    const next = await ledger.take(ticket(requeued), 'worker-2')
    expect(next).toMatchObject({ kind: 'taken', takeover: true, task: { attempt: 1, handle: aHandle, position: 'byte 17' } })
  })

  test('a handover before anything was started uses no attempt up, and keeps the deadline', async () => {
    const task = await running({ max_attempts: 1 })
    const requeued = await ledger.requeue(claimOf(task), { reason: 'handover' })
    const next = await ledger.take(ticket(requeued), 'worker-2')
    expect(next).toMatchObject({ kind: 'taken', takeover: false, task: { attempt: 1, claim: 3, deadline_at: task.deadline_at } })
    expect((await eventsOf(task)).at(-1)).toMatchObject({ type: 'task.started', payload: { attempt: 1, worker: 'worker-2' } })
  })
})

describe('the log', () => {
  test('G5: a hundred parallel appends keep seq without gap or duplicate (L-24)', async () => {
    const task = await running()
    await Promise.all(Array.from({ length: 100 }, (_, i) => ledger.append(claimOf(task), [{ type: 'task.output', payload: { text: `${i}`, stream: 'agent' } }])))
    expect((await eventsOf(task)).map(({ seq }) => seq)).toEqual(Array.from({ length: 102 }, (_, i) => i + 1))
    expect(await redis.xlen(world.keys.fleet)).toBe(102)
  })

  test('G6: a reader goes on after any event; a cursor of another history is answered with a reset', async () => {
    const task = await running()
    await ledger.append(claimOf(task), [{ type: 'task.output', payload: { text: 'a', stream: 'agent' } }, { type: 'task.output', payload: { text: 'b', stream: 'agent' } }])
    const first = await ledger.read(task.id, START, 3)
    expect(first).toMatchObject({ kind: 'events', total: 4, cursor: { seq: 3 } })
    if (first?.kind !== 'events') return
    expect(await ledger.read(task.id, first.cursor, 10)).toMatchObject({ events: [{ seq: 4, payload: { text: 'b' } }], cursor: { seq: 4 } })
    const end = await ledger.read(task.id, first.cursor, 10)
    expect(end?.kind === 'events' && (await ledger.read(task.id, end.cursor, 10))).toMatchObject({ kind: 'events', events: [], cursor: { seq: 4 } })
    expect(await ledger.read(task.id, { ...first.cursor, id: '0'.repeat(26) }, 10)).toMatchObject({ kind: 'cursor_reset', earliest: START })
    expect(await ledger.read(task.id, { ...first.cursor, seq: 99 }, 10)).toMatchObject({ kind: 'cursor_reset' })
    expect(await ledger.read(task.id, { seq: 3, id: '' }, 10)).toMatchObject({ kind: 'events', events: [{ seq: 4 }] })
    expect(await ledger.read(task.id, { seq: 9, id: '' }, 10)).toMatchObject({ kind: 'events', events: [] })
    expect(await ledger.read(aTask().id, START, 10)).toBeUndefined()
  })

  test('long and broken output becomes several events, nothing lost but the broken half', async () => {
    const task = await running()
    const text = `${'€😀'.repeat(20_000)}\ud800`
    await ledger.append(claimOf(task), [{ type: 'task.output', payload: { text, stream: 'agent' } }])
    const events = (await eventsOf(task)).slice(2)
    expect(events.length).toBeGreaterThan(2)
    expect(events.map((event) => (event.payload as { text: string }).text).join('')).toBe(text.toWellFormed())
  })

  test('the doorbell rings for a task and for the fleet, and the fleet stream says what', async () => {
    const subscriber = new Redis(sharedRedisUrl(), { maxRetriesPerRequest: null })
    connections.push(subscriber)
    const doorbell = createDoorbell(subscriber, deployment)
    const task = await running()
    const bells = await Promise.all([doorbell.listen(task.id), doorbell.listen('fleet')])
    await ledger.append(claimOf(task), [{ type: 'task.output', payload: { text: 'x', stream: 'agent' } }])
    const started = performance.now()
    await Promise.all(bells.map((bell) => bell.next(20_000)))
    expect(performance.now() - started).toBeLessThan(10_000)
    expect((await ledger.readFleet('0', 10)).map(({ taskId, seq, type }) => [taskId, seq, type])).toEqual([
      [task.id, 1, 'task.queued'], [task.id, 2, 'task.started'], [task.id, 3, 'task.output'],
    ])
    await Promise.all(bells.map((bell) => bell.close()))
  })
})

describe('tickets', () => {
  test('a confirmed ticket is pending no more; a lost one is replaced, once', async () => {
    const task = await submitted()
    await ledger.ticketAdded(ticket(task))
    expect(await ledger.pendingTickets(10)).toEqual([])
    expect(await ledger.reissue(task.id, 1)).toMatchObject({ task_id: task.id, n: 2 })
    expect(await ledger.reissue(task.id, 1)).toBeUndefined()
    expect((await ledger.pendingTickets(10)).map((pending) => pending.ticket.n)).toEqual([2])
    expect((await eventsOf(task)).at(-1)).toMatchObject({ type: 'task.queued', payload: { reason: 'ticket_lost', ticket: 2 } })
  })

  test('a running task whose ticket is lost keeps its state, and its next owner takes it over', async () => {
    const task = await running()
    const next = await ledger.reissue(task.id, 1)
    expect(await ledger.get(task.id)).toMatchObject({ state: 'running', ticket: 2 })
    expect(await ledger.take(next ?? { task_id: task.id, n: 0 }, 'worker-2')).toMatchObject({ kind: 'taken', takeover: true })
  })

  test('a task that nobody can run is ended by its ticket, and only by the current one', async () => {
    const task = await submitted()
    const failure = { code: 'ticket_lost', message: 'gone' } as const
    expect(await ledger.failUnowned(task.id, 9, failure)).toMatchObject({ won: false })
    expect(await ledger.failUnowned(task.id, 1, failure)).toMatchObject({ won: true })
    expect(await ledger.get(task.id)).toMatchObject({ state: 'failed', failure })
  })

  test('a round over the live tasks meets every one', async () => {
    const ids = new Set((await Promise.all(Array.from({ length: 300 }, () => submitted()))).map(({ id }) => id))
    const met = new Set<string>()
    let after: string | undefined
    do {
      const round = await ledger.liveTickets(after, 50)
      round.tickets.forEach((found) => met.add(found.task_id))
      after = round.next
    } while (after !== undefined)
    expect(met).toEqual(ids)
  })
})

test('G1: what submit answered survives SIGKILL of Redis', async () => {
  const { startRedis } = await import('@longshore/testkit')
  const server = await startRedis({ aof: 'always' })
  const own = new Redis(server.url, { maxRetriesPerRequest: null })
  own.on('error', () => {})
  connections.push(own)
  try {
    const durable = createLedger({ redis: own, deployment, log: SILENT })
    const accepted = await Promise.all(Array.from({ length: 50 }, () => durable.submit(aTask())))
    await server.kill9()
    await server.restart()
    await waitFor(async () => (await durable.counts()).queued === 50, { what: 'fifty queued tasks after the restart' })
    expect(await Promise.all(accepted.map(({ task }) => durable.get(task.id)))).toEqual(accepted.map(({ task }) => task))
  } finally {
    await server.stop()
  }
})

/** The same connection, but INFO memory says what the test is about. */
function withMemory(real: Redis, info: string): Redis {
  return new Proxy(real, {
    get: (target, name) => {
      if (name === 'info') return () => Promise.resolve(info)
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) as unknown : value
    },
  })
}
