import { waitFor } from '@longshore/testkit'
import { Queue, Worker } from 'bullmq'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { type Mode, MODES, type Ticket, ticketId } from '@longshore/contracts'

import type { TicketConsumer } from './consume-tickets.ts'
import { queueKeys, queueName, queueOf } from './names.ts'
import { jobOf } from './ticket-job.ts'
import { aDesk, aQueueWorld, aTicket, type QueueWorld } from './testing/queue-world.ts'

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

const ENGINE = 'an engine'
const aTakeover = (more: Partial<Ticket> = {}) => aTicket({ takeover: true, ...more })
const many = (count: number, make = aTicket) => Array.from({ length: count }, () => make())
const add = (...tickets: Ticket[]) => world.producer.addMany(tickets.map((ticket) => ({ ticket })))
const seen = () => desk.seen.map(({ id }) => id)
const end = (ticket: Ticket | undefined) => desk.seen.find(({ id }) => ticket !== undefined && id === ticketId(ticket))?.end()
const untilSeen = (ticket: Ticket) => waitFor(() => seen().includes(ticketId(ticket)), { what: `${ticketId(ticket)} to be taken` })
const waiting = async () => (await world.producer.counts()).docker.waiting

/** A worker whose slots are all taken by docker tickets. */
async function aFullWorker(concurrency: number, modes: readonly Mode[] = MODES): Promise<{ consumer: TicketConsumer; own: Ticket[] }> {
  const consumer = world.consume(desk.handle, { concurrency, modes })
  const own = many(concurrency)
  await add(...own)
  await waitFor(() => consumer.running() === concurrency, { what: 'all slots to be taken' })
  return { consumer, own }
}

/** The tickets that come next are taken by a worker that dies at once: its locks run out soon, and nobody renews them. */
async function takeAndDie(count: number): Promise<void> {
  const dead = new Worker(queueName('docker'), null, { connection: world.redis, prefix: queueKeys(world.deployment).prefix, autorun: false, lockDuration: 5_000 })
  for (let i = 0; i < count; i++) expect(await dead.getNextJob(`dead:${i}`, { block: false })).toBeDefined()
  await dead.close(true)
}

/** Past the time in which a worker without a free slot looks twice: another takeover, which came later, was found meanwhile. */
async function untilLookedTwice(mode: Ticket['mode'] = 'opencode'): Promise<void> {
  for (let i = 0; i < 2; i++) {
    const sign = aTakeover({ mode })
    await add(sign)
    await untilSeen(sign)
    end(sign)
  }
}

describe('G7: what another worker left waits neither behind a backlog nor for a slot', () => {
  test('a takeover stands before the backlog, whatever rank they were given', async () => {
    const backlog = many(12)
    await world.producer.addMany(backlog.map((ticket, i) => i % 2 === 0 ? { ticket } : { ticket, priority: 1 }))
    const takeover = aTakeover()
    await world.producer.add(takeover, { priority: 100 })
    world.consume(desk.handle, { concurrency: 1 })
    await waitFor(() => desk.seen.length === 1, { what: 'the first ticket' })
    expect(seen()).toEqual([ticketId(takeover)])
  })

  test('a worker without a free slot takes it beyond its slots, and nothing of the backlog', async () => {
    const { consumer } = await aFullWorker(2)
    await add(...many(12))
    const takeover = aTakeover()
    await add(takeover)
    await untilSeen(takeover)
    expect(consumer.running()).toBe(3)
    expect(await waiting()).toBe(12)
  })

  test('a ticket whose worker died is one, also where a backlog waits', async () => {
    const left = many(2)
    await add(...left)
    await takeAndDie(2)
    const { consumer } = await aFullWorker(2)
    await add(...many(12))
    for (const ticket of left) await untilSeen(ticket)
    expect(consumer.running()).toBe(4)
    expect(await waiting()).toBe(12)
  })

  test('one for an engine is taken by a full worker of that engine', async () => {
    const { consumer } = await aFullWorker(1)
    consumer.setEngine('docker', ENGINE)
    const takeover = aTakeover({ engine_id: ENGINE })
    await add(takeover)
    await untilSeen(takeover)
    expect(consumer.running()).toBe(2)
  })

  test('one behind a ticket that was given back to its place is found', async () => {
    await aFullWorker(1)
    const [fresh, takeover] = [aTicket(), aTakeover()]
    const queue = new Queue(queueOf(takeover), { connection: world.redis, prefix: queueKeys(world.deployment).prefix })
    const { name, data, opts } = jobOf(fresh)
    await queue.addBulk([jobOf(takeover), { name, data, opts: { ...opts, lifo: true } }])
    await untilSeen(takeover)
    expect(seen()).not.toContain(ticketId(fresh))
    await queue.close()
  })

  test('a ticket whose handler threw goes before all others again: its task may be begun', async () => {
    const order: string[] = []
    const [first, ...backlog] = many(30)
    await add(...(first === undefined ? [] : [first]), ...backlog)
    world.consume(async (ticket) => {
      order.push(ticketId(ticket))
      if (order.length === 1) throw new Error('Redis refused')
      await new Promise((resolve) => setTimeout(resolve, 250))
      return 'done'
    }, { concurrency: 1 })
    await waitFor(() => order.indexOf(order[0] ?? '', 1) > 0, { what: 'it to come again' })
    expect(order.length).toBeLessThan(30)
  })
})

test('no more than twice the slots are in work, whatever was left', async () => {
  const { consumer, own } = await aFullWorker(2)
  const takeovers = many(5, aTakeover)
  await add(...takeovers)
  await waitFor(() => consumer.running() === 4, { what: 'as many as there may be' })
  expect(await waiting()).toBe(3)
  end(own[0])
  await waitFor(() => desk.seen.length === 5, { what: 'the next one' })
  expect(consumer.running()).toBe(4)
})

test('fresh tickets never exceed the slots: none begins before what was taken beyond them is over', async () => {
  // With no other mode that has its turn, a ticket's end would bring the next one.
  const { consumer, own } = await aFullWorker(2, ['docker'])
  const [takeovers, backlog] = [many(2, aTakeover), many(4)]
  await add(...backlog, ...takeovers)
  for (const takeover of takeovers) await untilSeen(takeover)
  for (const ticket of own) end(ticket)
  await waitFor(() => consumer.running() === 2, { what: 'the first ones to end' })
  expect(seen().filter((id) => backlog.some((ticket) => ticketId(ticket) === id))).toEqual([])
  end(takeovers[0])
  await waitFor(() => seen().includes(ticketId(backlog[0] ?? aTicket())), { what: 'the backlog to go on' })
  expect(consumer.running()).toBe(2)
})

test('of many full workers that see the same takeover one takes it, and the others nothing instead', async () => {
  const workers = Array.from({ length: 6 }, () => world.consume(desk.handle, { concurrency: 1 }))
  await add(...many(6))
  await waitFor(() => workers.every((worker) => worker.running() === 1), { what: 'all slots to be taken' })
  const takeover = aTakeover()
  await add(...many(12), takeover)
  await untilSeen(takeover)
  await untilLookedTwice()
  expect(desk.seen).toHaveLength(6 + 1 + 2)
  expect(await waiting()).toBe(12)
})

test('a closed mode leaves takeovers to others, and so does a worker that takes nothing more', async () => {
  const { consumer } = await aFullWorker(1)
  consumer.setOpen('docker', false)
  const takeover = aTakeover()
  await add(takeover)
  await untilLookedTwice()
  expect(seen()).not.toContain(ticketId(takeover))
  consumer.setOpen('docker', true)
  await untilSeen(takeover)
  await consumer.stopTaking()
  await add(aTakeover())
  const other = aDesk()
  world.consume(other.handle, { concurrency: 1 })
  await waitFor(() => other.seen.length === 1, { what: 'another worker to take it' })
  other.endAll()
})

test('half-open, a takeover is the one', async () => {
  const { consumer } = await aFullWorker(3)
  consumer.setOpen('docker', 'one')
  const [first, second] = [aTakeover(), aTakeover()]
  await add(first)
  await untilSeen(first)
  await add(second)
  await untilLookedTwice()
  expect(seen()).not.toContain(ticketId(second))
  end(first)
  await untilSeen(second)
})

test('a takeover for a newer worker does not fall behind the backlog', async () => {
  await aFullWorker(1)
  const [newer, other] = [aTakeover({ min_worker: 99 }), aTakeover()]
  await add(...many(12), newer)
  const queue = new Queue(queueOf(newer), { connection: world.redis, prefix: queueKeys(world.deployment).prefix })
  const looks = async () => (await queue.getJob(ticketId(newer)))?.attemptsStarted ?? 0
  await waitFor(async () => (await looks()) >= 2, { what: 'two looks at it' })
  expect(await looks()).toBeLessThan(5)
  // Nor does it hide those behind it.
  await add(other)
  await untilSeen(other)
  await queue.close()
})
