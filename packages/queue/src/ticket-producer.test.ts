import { randomBytes } from 'node:crypto'
import { startRedis, waitFor } from '@longshore/testkit'
import { Redis } from 'ioredis'
import { expect, test } from 'vitest'

import { SILENT, type Ticket, taskIdFrom } from '@longshore/contracts'

import { createTicketProducer } from './ticket-producer.ts'

const aTicket = (): Ticket => ({ v: 1, task_id: taskIdFrom(randomBytes(52)), n: 1, agent_id: 'agent-a', mode: 'opencode', title: 'a', min_worker: 1 })

test('while Redis is away add fails at once and readably; when it is back add works again', async () => {
  const server = await startRedis()
  const producer = createTicketProducer({ redisUrl: server.url, deployment: 'd', log: SILENT })
  try {
    await waitFor(() => producer.time(), { what: 'the connection' })
    await server.kill9()
    await waitFor(async () => {
      const begun = performance.now()
      const error = await producer.add(aTicket()).catch((thrown: unknown) => thrown)
      expect(error).toMatchObject({ name: 'LongshoreError', code: 'unavailable' })
      expect(performance.now() - begun).toBeLessThan(500)
      return true
    }, { what: 'the refusal' })
    await server.restart()
    await waitFor(() => producer.add(aTicket()).then(() => true), { what: 'add to work again' })
    expect((await producer.counts()).opencode.waiting).toBe(1)
  } finally {
    await producer.close()
    await server.stop()
  }
})

test('before the first connection stands add is refused, too', async () => {
  const producer = createTicketProducer({ redisUrl: 'redis://127.0.0.1:1', deployment: 'd', log: SILENT })
  await expect(producer.add(aTicket())).rejects.toMatchObject({ code: 'unavailable' })
  await producer.close()
})

test('a delayed ticket waits; a full memory is overloaded', async () => {
  const server = await startRedis()
  const producer = createTicketProducer({ redisUrl: server.url, deployment: 'd', log: SILENT })
  try {
    await waitFor(() => producer.time(), { what: 'the connection' })
    const [waiting, delayed] = [aTicket(), aTicket()]
    await producer.add(waiting)
    await producer.add(delayed, { delayMs: 60_000 })
    expect((await producer.counts()).opencode).toEqual({ waiting: 1, delayed: 1, active: 0, failed: 0 })
    const redis = new Redis(server.url)
    await redis.config('SET', 'maxmemory', '1mb')
    redis.disconnect()
    await expect(producer.add(aTicket())).rejects.toMatchObject({ code: 'overloaded' })
  } finally {
    await producer.close()
    await server.stop()
  }
})
