import { waitFor } from '@longshore/testkit'
import { afterEach, beforeEach, expect, test } from 'vitest'

import { ticketId } from '@longshore/contracts'

import { forgetEngine, listEngines } from './engines.ts'
import { createHeartbeats } from './heartbeat.ts'
import { queueKeys, queueName } from './names.ts'
import { aDesk, aHeartbeat, aQueueWorld, aTicket, type QueueWorld } from './testing/queue-world.ts'

let world: QueueWorld
let desk: ReturnType<typeof aDesk>
beforeEach(async () => {
  world = await aQueueWorld()
  desk = aDesk()
})
afterEach(async () => {
  desk.endAll()
  await world.stop()
})

const ENGINE = 'ABCD:EFGH:1234'

test('an engine\'s queue has a name that BullMQ takes, whatever the engine\'s id', () => {
  expect(queueName('docker')).toBe('docker')
  expect(queueName('docker', ENGINE)).toMatch(/^docker@[0-9a-f]{12}$/)
  expect(queueName('docker', ENGINE)).not.toBe(queueName('docker', 'another'))
})

test('decision 12: a ticket for an engine reaches only a worker of that engine', async () => {
  const elsewhere = aDesk()
  world.consume(elsewhere.handle).setEngine('docker', 'another')
  const [routed, plain] = [aTicket({ engine_id: ENGINE }), aTicket()]
  await world.producer.addMany([{ ticket: routed }, { ticket: plain }])
  await waitFor(() => elsewhere.seen.length === 1, { what: 'the ticket for anybody' })
  expect((await world.producer.counts()).docker).toMatchObject({ waiting: 1, active: 1 })
  // Its worker learns late which engine that is: engineId() fails while the engine is away.
  const consumer = world.consume(desk.handle)
  consumer.setEngine('docker', ENGINE)
  await waitFor(() => desk.seen.length === 1, { what: 'the ticket for the engine' })
  expect([elsewhere.seen.map(({ id }) => id), desk.seen.map(({ id }) => id)]).toEqual([[ticketId(plain)], [ticketId(routed)]])
  elsewhere.endAll()
})

test('a worker whose engine became another one takes the tickets of that one only', async () => {
  const consumer = world.consume(desk.handle)
  consumer.setEngine('docker', 'before')
  consumer.setEngine('docker', 'after')
  const [before, after] = [aTicket({ engine_id: 'before' }), aTicket({ engine_id: 'after' })]
  await world.producer.add(before)
  await world.producer.add(after)
  await waitFor(() => desk.seen.length === 1, { what: 'the ticket' })
  expect(desk.seen[0]?.id).toBe(ticketId(after))
  consumer.setEngine('docker', 'before')
  await waitFor(() => desk.seen.length === 2, { what: 'the other ticket' })
})

test('lines of one mode take turns, and a closed mode closes both', async () => {
  const order: (string | undefined)[] = []
  const consumer = world.consume(async (ticket) => {
    order.push(ticket.engine_id)
    if (order.length === 12) consumer.setOpen('docker', false)
    return 'done'
  }, { concurrency: 1 })
  consumer.setEngine('docker', ENGINE)
  const add = (count: number) => world.producer.addMany(Array.from({ length: count }, (_, i) => ({ ticket: aTicket(i % 2 === 0 ? {} : { engine_id: ENGINE }) })))
  await add(2)
  await waitFor(() => order.length === 2, { what: 'both lines to be at work' })
  await add(20)
  await waitFor(() => order.length >= 12 && consumer.running() === 0, { what: 'half of the tickets' })
  for (const engine of [ENGINE, undefined]) expect(order.filter((found) => found === engine).length).toBeGreaterThanOrEqual(4)
  // The other mode still goes on, so the consumer had time to take more if it wanted to.
  await world.producer.add(aTicket({ mode: 'opencode' }))
  await waitFor(() => order.length === 13, { what: 'the other mode' })
  expect((await world.producer.counts()).docker.waiting).toBe(10)
})

test('half-open: one ticket at a time, those of before apart, until it is set again', async () => {
  const consumer = world.consume(desk.handle, { concurrency: 10 })
  consumer.setEngine('docker', ENGINE)
  const add = (count: number) => world.producer.addMany(Array.from({ length: count }, (_, i) => ({ ticket: aTicket(i % 2 === 0 ? {} : { engine_id: ENGINE }) })))
  await add(2)
  await waitFor(() => desk.seen.length === 2, { what: 'the tickets of before' })
  consumer.setOpen('docker', false)
  await add(6)
  consumer.setOpen('docker', 'one')
  await waitFor(() => desk.seen.length === 3, { what: 'the one ticket' })
  // Said again it is the same: no second one.
  consumer.setOpen('docker', 'one')
  await world.producer.add(aTicket({ mode: 'opencode' }))
  await waitFor(() => desk.seen.length === 4, { what: 'the other mode, which is open' })
  expect((await world.producer.counts()).docker).toMatchObject({ waiting: 5, active: 3 })
  desk.seen[2]?.end()
  await waitFor(() => desk.seen.length === 5, { what: 'the next one' })
  expect((await world.producer.counts()).docker).toMatchObject({ waiting: 4, active: 3 })
  consumer.setOpen('docker', true)
  await waitFor(() => desk.seen.length === 9, { what: 'all the others' })
})

test('engines are known from tickets and heartbeats, with how long they were silent; a draining or failing worker speaks for none', async () => {
  const { redis, deployment, producer } = world
  const heartbeats = createHeartbeats(redis, deployment)
  await producer.add(aTicket({ engine_id: 'with a ticket' }))
  await heartbeats.beat(aHeartbeat('a', ENGINE))
  await heartbeats.beat(aHeartbeat('b', 'draining', { draining: true }))
  await heartbeats.beat(aHeartbeat('c', 'failing', { ok: false, reason: 'no engine' }))
  await heartbeats.beat(aHeartbeat('d'))
  const engines = await listEngines(redis, deployment)
  expect(engines.map(({ engineId, queue, silentMs }) => [engineId, queue, silentMs < 5_000])).toEqual(expect.arrayContaining(
    [[ENGINE, queueName('docker', ENGINE), true], ['with a ticket', queueName('docker', 'with a ticket'), false]]))
  expect(engines).toHaveLength(2)
})

test('an engine is forgotten with all of its queue, unless somebody works for it or speaks for it', async () => {
  const { redis, deployment, producer } = world
  const keys = queueKeys(deployment)
  const consumer = world.consume(desk.handle, { concurrency: 1 })
  consumer.setEngine('docker', ENGINE)
  await producer.addMany([{ ticket: aTicket({ engine_id: ENGINE }) }, { ticket: aTicket({ engine_id: ENGINE }) }, { ticket: aTicket({ engine_id: ENGINE }), delayMs: 60_000 }])
  await waitFor(() => desk.seen.length === 1, { what: 'a ticket in work' })
  const [engine] = await listEngines(redis, deployment)
  if (engine === undefined) throw new Error('the engine is not known')
  expect(await forgetEngine(redis, keys, engine, 1_000)).toBe(false)
  await consumer.stopTaking()
  desk.endAll()
  await consumer.stop()
  await createHeartbeats(redis, deployment).beat(aHeartbeat('a', ENGINE))
  expect(await forgetEngine(redis, keys, engine, 60_000)).toBe(false)
  expect((await producer.counts()).docker).toMatchObject({ waiting: 1, delayed: 1 })
  expect(await forgetEngine(redis, keys, engine, -1_000)).toBe(true)
  expect(await redis.keys(`${keys.of(engine.queue, '')}*`)).toEqual([])
  expect(await listEngines(redis, deployment)).toEqual([])
  // A queue that was forgotten serves again.
  await producer.add(aTicket({ engine_id: ENGINE }))
  expect((await producer.counts()).docker).toEqual({ waiting: 1, delayed: 0, active: 0, failed: 0 })
})
