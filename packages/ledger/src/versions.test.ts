import { beforeEach, describe, expect, test } from 'vitest'

import { formatCursor } from '@longshore/contracts'

import { ClaimLost, type Ledger } from './ledger.ts'
import { aTask, claimOf, completed, connect, type World } from './testing/world.ts'
// A ledger as the build before RECORD_VERSION 2 left it in Redis, key by key (commit b62bb0b).
import written from './testing/written-by-version-1.json' with { type: 'json' }

const open = connect()
let world: World
let ledger: Ledger
beforeEach(async () => {
  world = open()
  ledger = world.ledger
  const pipeline = world.redis.pipeline()
  for (const [key, commands] of Object.entries(written.keys)) {
    for (const [command, values] of Object.entries(commands)) pipeline.call(command, [world.keys.prefix + key, ...values])
  }
  await pipeline.exec()
})
const { names } = written
const stored = (id: string, ...fields: string[]) => world.redis.hmget(world.keys.task(id), ...fields)

describe('records of the previous version', () => {
  test('are read, listed and counted as they were written', async () => {
    expect(await world.now(names.queued)).toEqual({
      v: 1, id: names.queued, agent_id: 'agent-a', prompt: 'the prompt of queued', title: 'queued', mode: 'docker', profile: 'opencode', timeout_ms: 300_000,
      max_attempts: 3, observers: ['@ann:example.org'], idempotency_key: 'the key', state: 'queued', claim: 0, attempt: 0, ticket: 1, seq: 1,
      created_at: 1_795_540_177_826, last_event_id: '01M878HMX0KEQK7843K6SVN54N',
    })
    expect((await ledger.list({ agentId: 'agent-a', limit: 10 })).map(({ title, state }) => [title, state])).toEqual([
      ['completed', 'completed'], ['retried', 'queued'], ['handed over', 'queued'], ['running', 'running'], ['queued', 'queued'],
    ])
    expect(await ledger.counts()).toMatchObject({ queued: 3, running: 1, completed: 1 })
    expect(await ledger.debts(10)).toEqual([names.completed])
    expect((await ledger.pendingTickets(10)).map(({ ticket }) => [ticket.task_id, ticket.n, ticket.min_worker])).toEqual([
      [names.queued, 1, 1], [names['handed over'], 2, 1], [names.retried, 2, 1],
    ])
    expect((await ledger.liveTickets(undefined, 100)).tickets.map(({ task_id }) => task_id).toSorted()).toEqual(
      [names.queued, names.running, names['handed over'], names.retried].toSorted(),
    )
  })

  test('G2: a submit that an earlier build accepted is the same submit for this one', async () => {
    const same = aTask({ prompt: 'the prompt of queued', title: 'queued', observers: ['@ann:example.org'], idempotency_key: 'the key' })
    expect(await ledger.submit(same)).toMatchObject({ isNew: false, task: { id: names.queued } })
    await expect(ledger.submit({ ...same, queue_ttl_ms: 60_000 })).rejects.toMatchObject({ code: 'idempotency_conflict' })
  })

  test('G7: a running one is taken over, goes on in its log, and moves forward with the take', async () => {
    expect(await stored(names.running, 'rv', 'taken_at')).toEqual([null, null])
    const old = await world.now(names.running)
    const task = await world.taken(old, 'worker-new', { engineId: 'an engine' })
    // When its owner took it nobody wrote down, so it counts as one that died, and as no more.
    expect(task).toMatchObject({ claim: 2, attempt: 1, position: 'byte 17', handle: { storage_id: 's-1' }, deadline_at: old.deadline_at, crashes: 1 })
    expect((await stored(names.running, 'rv'))[0]).toBe('2')
    await expect(ledger.confirm(claimOf(old))).rejects.toThrow(ClaimLost)
    await ledger.append(claimOf(task), [{ type: 'task.output', payload: { text: 'the other half', stream: 'agent' } }])
    await ledger.end(claimOf(task), completed)
    const events = await world.events(task)
    expect(events.map(({ seq, type, known }) => [seq, type, known])).toEqual([
      [1, 'task.queued', true], [2, 'task.started', true], [3, 'task.output', true], [4, 'task.output', true], [5, 'task.completed', true],
    ])
  })

  test('handed over and retried ones go on with their handle, or in their next attempt', async () => {
    expect(await world.taken({ id: names['handed over'], ticket: 2 }, 'w', {})).toMatchObject({ attempt: 1, mode: 'opencode', handle: { storage_id: 's-1' } })
    const retried = await world.taken({ id: names.retried, ticket: 2 }, 'w')
    expect(retried).toMatchObject({ attempt: 2 })
    expect(retried.crashes).toBeUndefined()
  })

  test('waiting ones are cancelled, given another ticket, routed and ended without a take', async () => {
    expect(await ledger.reroute(names['handed over'], 2, 'e')).toMatchObject({ n: 3, engine_id: 'e' })
    await ledger.ticketAdded({ task_id: names.retried, n: 2 })
    expect(await ledger.reissue(names.retried, 2)).toMatchObject({ n: 3 })
    expect(await ledger.cancel(names.queued, 'agent-a')).toMatchObject({ outcome: 'ended' })
    await world.redis.hset(world.keys.task(names.running), 'deadline_at', 5)
    expect((await ledger.liveTickets(undefined, 100)).overdue.map(({ task_id }) => task_id)).toContain(names.running)
    expect(await ledger.timeoutUnowned(names.running, 1)).toBe(true)
  })

  test('G6: a cursor into a log of the earlier build still fits', async () => {
    const cursor = { seq: 2, id: '01M878HMX3MDS2XC48V38Z8F24' }
    expect(formatCursor(cursor)).toBe('2-01M878HMX3MDS2XC48V38Z8F24')
    expect(await ledger.read(names.running, cursor, 10)).toMatchObject({ kind: 'events', total: 3, events: [{ seq: 3, payload: { text: 'half "way"' } }] })
  })
})

describe('records of a later version', () => {
  test('keep their version, their unknown fields and their place in lists', async () => {
    await world.redis.hset(world.keys.task(names.running), 'rv', 9, 'a_field_to_come', 'x')
    const task = await world.taken({ id: names.running, ticket: 1 }, 'w')
    expect(await stored(names.running, 'rv', 'a_field_to_come')).toEqual(['9', 'x'])
    await ledger.end(claimOf(task), completed)
    await world.redis.hset(world.keys.task(names.running), 'failure', '{"code":"a_code_to_come","message":"m"}')
    expect((await world.now(names.running)).failure).toEqual({ code: 'internal', message: 'm' })
    expect((await ledger.list({ limit: 10 })).map(({ id }) => id)).toContain(names.running)
  })

  test('that say what worker they need get no ticket for less, whoever makes it', async () => {
    const { id } = await world.submitted()
    await world.redis.hset(world.keys.task(id), 'min_worker', 9)
    expect((await ledger.pendingTickets(100)).find(({ ticket }) => ticket.task_id === id)?.ticket.min_worker).toBe(9)
    expect((await ledger.liveTickets(undefined, 100)).tickets.find(({ task_id }) => task_id === id)?.min_worker).toBe(9)
    await ledger.ticketAdded({ task_id: id, n: 1 })
    expect(await ledger.reissue(id, 1)).toMatchObject({ n: 2, min_worker: 9 })
    expect(await ledger.reroute(id, 2, 'e')).toMatchObject({ n: 3, engine_id: 'e', min_worker: 9 })
  })
})
