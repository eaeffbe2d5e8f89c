import { randomBytes } from 'node:crypto'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { sharedRedisUrl, waitFor } from '@longshore/testkit'
import { Queue } from 'bullmq'
import { afterEach, beforeEach, expect, test } from 'vitest'

import { type Log, type Mode, MODES, SILENT, type Ticket, taskIdFrom, ticketId } from '@longshore/contracts'
import { connectRedis } from '@longshore/runtime'

import { consumeTickets, type ConsumeTicketsOptions, type TicketConsumer } from './consume-tickets.ts'
import { queueKeys, queueName } from './names.ts'
import { createTicketProducer, type TicketProducer } from './ticket-producer.ts'

const url = sharedRedisUrl()
let deployment: string
let producer: TicketProducer
let cleanups: (() => unknown)[]
let desks: (() => void)[]

beforeEach(async () => {
  deployment = `t-${randomBytes(6).toString('hex')}`
  producer = createTicketProducer({ redisUrl: url, deployment, log: SILENT })
  desks = []
  cleanups = [() => producer.close()]
  await waitFor(() => producer.time(), { what: 'the producer to be connected' })
})
afterEach(async () => {
  for (const end of desks) end()
  for (const cleanup of cleanups.toReversed()) await cleanup()
})

const aTicket = (more: Partial<Ticket> = {}): Ticket =>
  ({ v: 1, task_id: taskIdFrom(randomBytes(52)), n: 1, agent_id: 'agent-a', mode: 'docker', title: 'write a poem', min_worker: 1, ...more })

function consume(handle: ConsumeTicketsOptions['handle'], more: Partial<ConsumeTicketsOptions> & { open?: Mode[] } = {}): TicketConsumer {
  const redis = connectRedis(url, 'background', SILENT)
  const consumer = consumeTickets({ redis, deployment, name: 'worker', modes: ['docker', 'opencode'], concurrency: 2, log: SILENT, handle, ...more })
  for (const mode of more.open ?? MODES) consumer.setOpen(mode, true)
  cleanups.push(async () => {
    await consumer.stop()
    redis.disconnect()
  })
  return consumer
}
function queueOf(mode: Mode): Queue {
  const redis = connectRedis(url, 'background', SILENT)
  const queue = new Queue(queueName(mode), { connection: redis, prefix: queueKeys(deployment).prefix })
  cleanups.push(async () => {
    await queue.close()
    redis.disconnect()
  })
  return queue
}

/** A wire to Redis that can be cut without either end noticing: bytes just stop. */
async function startWire(port: string) {
  let isCut = false
  const ends = new Set<Socket>()
  const server = createServer((near) => {
    const far = connect(Number(port), '127.0.0.1')
    for (const [from, to] of [[near, far], [far, near]] as const) {
      ends.add(from)
      from.on('error', () => undefined).on('close', () => to.destroy()).on('data', (bytes) => to.write(bytes))
      if (isCut) from.pause()
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `redis://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut: () => {
      isCut = true
      ends.forEach((end) => end.pause())
    },
    mend: () => {
      isCut = false
      ends.forEach((end) => end.resume())
    },
    stop: () => {
      ends.forEach((end) => end.destroy())
      server.close()
    },
  }
}

/** A handler that records what it gets and ends a ticket when told to. */
function desk() {
  const seen: { id: string; signal: AbortSignal; end: (verdict?: 'done' | 'again') => void }[] = []
  const handle: ConsumeTicketsOptions['handle'] = (ticket, signal) =>
    new Promise((resolve) => {
      seen.push({ id: ticketId(ticket), signal, end: (verdict = 'done') => resolve(verdict) })
      signal.addEventListener('abort', () => resolve('done'))
    })
  desks.push(() => seen.forEach(({ end }) => end()))
  return { seen, handle }
}

test('a ticket arrives once, is readable in the queue, and is completed', async () => {
  const { seen, handle } = desk()
  consume(handle)
  const ticket = aTicket()
  await producer.add(ticket)
  await producer.add(ticket)
  await waitFor(() => seen.length === 1, { what: 'the ticket' })
  const job = await queueOf('docker').getJob(ticketId(ticket))
  expect(job).toMatchObject({ name: `write a poem (${ticket.task_id})`, data: ticket })
  expect((await producer.counts()).docker).toEqual({ waiting: 0, delayed: 0, active: 1, failed: 0 })
  seen[0]?.end()
  await waitFor(async () => (await job?.getState()) === 'completed', { what: 'completion' })
  expect(seen).toHaveLength(1)
})

test('one pool of slots serves all modes, and modes that both have work take turns', async () => {
  const order: string[] = []
  let most = 0
  let now = 0
  const tickets = Array.from({ length: 20 }, (_, i) => aTicket({ mode: i < 10 ? 'docker' : 'opencode' }))
  await producer.addMany(tickets.map((ticket) => ({ ticket })))
  const consumer = consume(async (ticket) => {
    most = Math.max(most, ++now)
    order.push(ticket.mode)
    await new Promise((resolve) => setTimeout(resolve, 100))
    now--
    return 'done'
  }, { concurrency: 3 })
  await waitFor(() => order.length === 20 && consumer.running() === 0, { what: 'all tickets' })
  expect(most).toBe(3)
  expect(order.slice(0, 10).filter((mode) => mode === 'opencode').length).toBeGreaterThanOrEqual(3)
})

test('a mode with a long queue does not keep the only slot from one whose ticket comes later', async () => {
  const order: Mode[] = []
  await producer.addMany(Array.from({ length: 30 }, () => ({ ticket: aTicket({ mode: 'docker' }) })))
  consume(async ({ mode }) => {
    order.push(mode)
    if (order.length === 3) await producer.add(aTicket({ mode: 'opencode' }))
    await new Promise((resolve) => setTimeout(resolve, 20))
    return 'done'
  }, { concurrency: 1 })
  await waitFor(() => order.length === 31, { what: 'all tickets' })
  expect(order.indexOf('opencode')).toBeLessThan(20)
})

test('a ticket that is being closed is not taken for a lost one', async () => {
  const warned: string[] = []
  const log: Log = { ...SILENT, warn: (_fields: object, message: string) => void warned.push(message) }
  let handled = 0
  await producer.addMany(Array.from({ length: 300 }, () => ({ ticket: aTicket() })))
  // Renewals every 5 ms: without care some meet a ticket whose lock went with its completion a moment ago.
  consume(() => Promise.resolve(++handled).then(() => 'done' as const), { concurrency: 20, lockMs: 20, log })
  await waitFor(() => handled >= 300, { what: 'all tickets' })
  expect(warned).toEqual([])
})

test('a ticket that arrives while all slots are taken stays for another worker', async () => {
  const busy = desk()
  const free = desk()
  const first = consume(busy.handle, { concurrency: 1 })
  await producer.add(aTicket({ mode: 'docker' }))
  await waitFor(() => first.running() === 1, { what: 'the first worker to be busy' })
  await producer.add(aTicket({ mode: 'opencode' }))
  consume(free.handle, { concurrency: 1 })
  await waitFor(() => free.seen.length === 1, { what: 'the second worker to take it' })
  expect(busy.seen).toHaveLength(1)
})

test('a closed mode takes nothing until it is opened', async () => {
  const { seen, handle } = desk()
  const consumer = consume(handle, { open: ['opencode'] })
  await producer.add(aTicket({ mode: 'docker' }))
  await producer.add(aTicket({ mode: 'opencode' }))
  await waitFor(() => seen.length === 1, { what: 'the ticket of the open mode' })
  expect((await producer.counts()).docker.waiting).toBe(1)
  consumer.setOpen('docker', true)
  await waitFor(() => seen.length === 2, { what: 'the ticket of the other mode' })
})

test('what is no ticket is refused, a copy under another id too, and the queue goes on', async () => {
  const { seen, handle } = desk()
  const ticket = aTicket()
  const queue = queueOf('docker')
  const jobs = await queue.addBulk([
    { name: 'nonsense', data: { rm: '-rf' }, opts: { jobId: 'nonsense' } },
    { name: 'a copy', data: ticket, opts: { jobId: 'copy' } },
    { name: 'null', data: null, opts: { jobId: 'null-data' } },
  ])
  consume(handle)
  await waitFor(async () => (await producer.counts()).docker.failed === 3, { what: 'the refusals' })
  expect((await queue.getJob('copy'))?.failedReason).toContain(`a ticket's job id is ${ticketId(ticket)}`)
  expect(jobs).toHaveLength(3)
  await producer.add(ticket)
  await waitFor(() => seen.length === 1, { what: 'the real ticket' })
})

test('a ticket for a newer worker is handed back, not failed, and does not go round and round before those behind it', async () => {
  const { seen, handle } = desk()
  const [newer, ours] = [aTicket({ min_worker: 99 }), aTicket()]
  await producer.add(newer)
  await producer.add(ours)
  consume(handle, { concurrency: 1 })
  await waitFor(async () => (await producer.counts()).docker.delayed === 1, { what: 'the ticket to be handed back' })
  await waitFor(() => seen.length === 1, { what: 'the one behind it' })
  expect(seen[0]?.id).toBe(ticketId(ours))
  seen[0]?.end()
  await waitFor(async () => ((await queueOf('docker').getJob(ticketId(newer)))?.attemptsStarted ?? 0) >= 2, { what: 'another look at it' })
  expect((await queueOf('docker').getJob(ticketId(newer)))?.attemptsStarted).toBeLessThan(5)
})

test('a handler that throws or says "again" gives the ticket back', async () => {
  let calls = 0
  consume(async () => {
    calls += 1
    if (calls === 1) throw new Error('the ledger is away')
    return calls === 2 ? 'again' : 'done'
  })
  await producer.add(aTicket())
  await waitFor(async () => calls === 3 && (await producer.counts()).docker.active === 0, { what: 'the third call' })
  expect((await producer.counts()).docker).toEqual({ waiting: 0, delayed: 0, active: 0, failed: 0 })
})

test('G7: a worker that cannot renew lets go before another can take the ticket, and the other takes it', async () => {
  const [cutOff, other] = [desk(), desk()]
  const wire = await startWire(new URL(url).port)
  cleanups.push(() => wire.stop())
  const redis = connectRedis(wire.url, 'background', SILENT)
  consume(cutOff.handle, { redis, lockMs: 6_000, stalledIntervalMs: 500 })
  await producer.add(aTicket())
  await waitFor(() => cutOff.seen.length === 1, { what: 'the first worker' })
  wire.cut()
  const cutAt = performance.now()
  consume(other.handle, { lockMs: 6_000, stalledIntervalMs: 500 })
  await waitFor(() => cutOff.seen[0]?.signal.aborted, { what: 'the first worker to let go', everyMs: 5 })
  expect(performance.now() - cutAt).toBeLessThan(6_000)
  expect(String(cutOff.seen[0]?.signal.reason)).toContain('no renewal')
  expect(other.seen).toHaveLength(0)
  await waitFor(() => other.seen.length === 1, { what: 'the takeover' })
  expect(other.seen[0]?.id).toBe(cutOff.seen[0]?.id)
  wire.mend()
})

test('a worker whose ticket was removed lets go of it', async () => {
  const { seen, handle } = desk()
  consume(handle, { lockMs: 2_000 })
  await producer.add(aTicket())
  await waitFor(() => seen.length === 1, { what: 'the ticket' })
  await queueOf('docker').obliterate({ force: true })
  await waitFor(() => seen[0]?.signal.aborted, { what: 'the worker to let go' })
  expect(String(seen[0]?.signal.reason)).toContain('no longer ours')
})

test('stopTaking leaves waiting tickets to others and lets running ones go on', async () => {
  const { seen, handle } = desk()
  const consumer = consume(handle)
  await producer.add(aTicket())
  await waitFor(() => seen.length === 1, { what: 'the first ticket' })
  await consumer.stopTaking()
  await producer.add(aTicket())
  expect(consumer.running()).toBe(1)
  expect(seen[0]?.signal.aborted).toBe(false)
  seen[0]?.end()
  await consumer.stop()
  expect((await producer.counts()).docker).toEqual({ waiting: 1, delayed: 0, active: 0, failed: 0 })
})
