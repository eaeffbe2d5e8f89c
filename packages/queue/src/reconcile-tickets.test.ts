import { waitFor } from '@longshore/testkit'
import { Worker } from 'bullmq'
import { afterEach, beforeEach, expect, test } from 'vitest'

import { type Log, SILENT, type Ticket, ticketId } from '@longshore/contracts'
import type { Rounds } from '@longshore/runtime'

import { createHeartbeats } from './heartbeat.ts'
import { queueKeys, queueName } from './names.ts'
import { type LiveTickets, reconcileTickets } from './reconcile-tickets.ts'
import { aDesk, aHeartbeat, aQueueWorld, aTicket, type QueueWorld } from './testing/queue-world.ts'

let world: QueueWorld
let said: { fields: Record<string, unknown>; message: string }[]
let asked: string[]
let rounds: Rounds | undefined
let desk: ReturnType<typeof aDesk>
beforeEach(async () => {
  world = await aQueueWorld()
  desk = aDesk()
  said = []
  asked = []
})
afterEach(async () => {
  await rounds?.stop()
  desk.endAll()
  await world.stop()
})

/** A ledger's part, with these tasks: what the reconciler asks of it is noted, and a new ticket stands in the place of the old one. */
function reconcile(tickets: Ticket[], more: Partial<LiveTickets> = {}): { looks: () => number } {
  let looks = 0
  const next = (what: string) => async (taskId: string, n: number) => {
    const i = tickets.findIndex(({ task_id, n: current }) => task_id === taskId && current === n)
    const ticket = tickets[i]
    if (ticket === undefined) return undefined
    asked.push(`${what} ${ticketId(ticket)}`)
    const { engine_id: _, ...rest } = ticket
    tickets[i] = { ...rest, n: n + 1 }
    await world.producer.add(tickets[i])
    return tickets[i]
  }
  const log: Log = { ...SILENT, warn: (fields: object, message: string) => void said.push({ fields: { ...fields }, message }) }
  const ledger: LiveTickets = {
    liveTickets: async () => (looks++, { tickets: [...tickets], overdue: [] }), reissue: next('reissue'), reroute: next('reroute'),
    timeoutUnowned: async () => true, answerExpired: async () => 0, failUnowned: async () => undefined, ...more,
  }
  rounds = reconcileTickets({ ledger, redis: world.redis, deployment: world.deployment, name: 'r', log, everyMs: 30 })
  return { looks: () => looks }
}

test('decision 12: tickets for an engine that nobody speaks for are for everybody again, said once; those of others wait on', async () => {
  const { redis, deployment, producer } = world
  const keys = queueKeys(deployment)
  const tickets = ['alive', 'gone', 'never there'].map((engine_id) => aTicket({ engine_id }))
  const [, gone, never] = tickets.map(ticketId)
  await producer.addMany(tickets.map((ticket) => ({ ticket })))
  await createHeartbeats(redis, deployment).beat(aHeartbeat('a', 'alive'))
  await redis.zadd(keys.engines, String(Date.now() - 16_000), 'docker@gone')
  const { looks } = reconcile(tickets)
  await waitFor(() => looks() >= 5, { what: 'some rounds' })
  expect(asked.toSorted((a, b) => (a < b ? -1 : 1))).toEqual([`reroute ${gone}`, `reroute ${never}`].toSorted((a, b) => (a < b ? -1 : 1)))
  expect(said.map(({ fields }) => fields['engine'])).toEqual(['gone', 'never there'])
})

test('G12: a worker that is started again within 15 s keeps the tickets of its engine', async () => {
  const { redis, deployment, producer } = world
  const heartbeats = createHeartbeats(redis, deployment)
  const tickets = [aTicket({ engine_id: 'e' })]
  await producer.addMany(tickets.map((ticket) => ({ ticket })))
  await heartbeats.beat(aHeartbeat('a', 'e'))
  await heartbeats.beat(aHeartbeat('a', 'e', { draining: true }))
  await heartbeats.remove('a')
  const { looks } = reconcile(tickets)
  await waitFor(() => looks() >= 5, { what: 'some rounds' })
  expect(asked).toEqual([])
})

test('a ticket in an engine\'s queue is no lost one, also when it is in work and its task has no route any more; a deleted one is', async () => {
  const { redis, deployment, producer } = world
  const tickets = [aTicket({ engine_id: 'e' }), aTicket({ engine_id: 'e' })]
  await createHeartbeats(redis, deployment).beat(aHeartbeat('a', 'e'))
  world.consume(desk.handle, { concurrency: 1 }).setEngine('docker', 'e')
  await producer.addMany(tickets.map((ticket) => ({ ticket })))
  await waitFor(() => desk.seen.length === 1, { what: 'a ticket in work' })
  const inWork = tickets.findIndex((ticket) => ticketId(ticket) === desk.seen[0]?.id)
  const waiting = tickets[1 - inWork] ?? aTicket()
  const live = [Object.assign(aTicket(), { task_id: tickets[inWork]?.task_id }), waiting]
  const { looks } = reconcile(live)
  await waitFor(() => looks() >= 5, { what: 'some rounds' })
  expect(asked).toEqual([])
  const base = queueKeys(deployment).of(queueName('docker', 'e'), '')
  await redis.multi().del(`${base}${ticketId(waiting)}`).del(`${base}wait`).exec()
  await waitFor(() => asked.length === 1, { what: 'the deleted one to be missed' })
  expect(asked).toEqual([`reissue ${ticketId(waiting)}`])
})

test('G7: a ticket that died with the last worker of its engine is a lost one; one that is held is not', async () => {
  const { redis, deployment, producer } = world
  const keys = queueKeys(deployment)
  const tickets = [aTicket({ engine_id: 'e' }), aTicket({ engine_id: 'e' })]
  await producer.addMany(tickets.map((ticket) => ({ ticket })))
  const hand = new Worker(queueName('docker', 'e'), null, { connection: redis, prefix: keys.prefix, autorun: false, lockDuration: 600_000 })
  const [dead, held] = [await hand.getNextJob('dead'), await hand.getNextJob('held')]
  await redis.zadd(keys.engines, String(Date.now() - 16_000), 'docker@e')
  // What the ledger knows of tickets in work: no engine.
  const { looks } = reconcile(tickets.map(({ task_id }) => aTicket({ task_id })))
  await waitFor(() => looks() >= 5, { what: 'some rounds' })
  expect(asked).toEqual([])
  await redis.del(`${keys.of(queueName('docker', 'e'), dead.id ?? '')}:lock`)
  await waitFor(() => asked.length === 1, { what: 'the dead one to be missed' })
  const seen = looks()
  await waitFor(() => looks() >= seen + 5, { what: 'some more rounds' })
  expect([asked, held.id]).toEqual([[`reissue ${dead.id}`], expect.any(String)])
  await hand.close(true)
})

test('G9: a task whose time in the queue is over is ended, and the log says by which limit', async () => {
  const ticket = aTicket()
  let isOver = false
  reconcile([], {
    liveTickets: async () => ({ tickets: [], overdue: isOver ? [] : [{ ...ticket, limit: 'queue_ttl_ms' as const }] }),
    timeoutUnowned: async () => (isOver = true),
  })
  await waitFor(() => said.length === 1, { what: 'the end' })
  expect(said[0]?.fields).toMatchObject({ task_id: ticket.task_id, limit: 'queue_ttl_ms' })
})

test('a task of very many tickets ends when its ticket is lost, not while that is still to come', async () => {
  const [coming, lost] = [aTicket({ n: 1_000 }), aTicket({ n: 1_000 })]
  const failed: string[] = []
  const { looks } = reconcile([coming, lost], {
    reissue: async (taskId, n) => (taskId === lost.task_id ? { ...lost, n: n + 1 } : undefined),
    failUnowned: async (task_id, n) => void failed.push(ticketId({ task_id, n })),
  })
  await waitFor(() => looks() >= 5, { what: 'some rounds' })
  expect(new Set(failed)).toEqual(new Set([ticketId({ ...lost, n: 1_001 })]))
})
