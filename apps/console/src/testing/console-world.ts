import { serve } from '@hono/node-server'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import type { Hono } from 'hono'
import { Redis } from 'ioredis'

import { type NewTask, NewTask as NewTaskSchema, SILENT, type Task, taskIdFrom, type Ticket } from '@longshore/contracts'
import { createApiKeys, createDoorbell, createLedger, type Ledger } from '@longshore/ledger'
import { createHeartbeats, createTicketProducer, type Heartbeat, queueKeys } from '@longshore/queue'
import { connectRedis } from '@longshore/runtime'
import { createSessions } from '../access/sessions.ts'
import { createQueueBoard } from '../bull-board.ts'
import { createConsoleApp } from '../console-app.ts'

/** A console over a deployment of its own. */
export interface ConsoleWorld {
  app: Hono
  ledger: Ledger
  operatorKey: string
  agentKey: string
  submit(more?: Partial<NewTask>): Promise<Task>
  start(more?: Partial<NewTask>): Promise<Task>
  /** Puts the pending tickets into their queues. */
  dispatch(): Promise<void>
  addTicket(ticket: Ticket): Promise<void>
  forgetEngines(): Promise<void>
  /** A worker says this of itself. */
  beat(heartbeat: Heartbeat): Promise<void>
  revokeOperator(): Promise<void>
  /** Listens on a free port of loopback. @returns its URL */
  listen(): Promise<string>
  stop(): Promise<void>
}

export async function aConsole(redisUrl: string, { isWritable = false } = {}): Promise<ConsoleWorld> {
  const hand = new Redis(redisUrl, { retryStrategy: () => 50, maxRetriesPerRequest: null })
  hand.on('error', () => undefined)
  const redis = connectRedis(redisUrl, 'caller', SILENT)
  const deployment = `c-${randomBytes(5).toString('hex')}`
  const ledger = createLedger({ redis: hand, deployment, log: SILENT })
  const apiKeys = createApiKeys(hand, deployment)
  const operator = await apiKeys.make('operator', 'test')
  const board = createQueueBoard({ redis, deployment, isWritable, log: SILENT })
  const producer = createTicketProducer({ redisUrl, deployment, log: SILENT })
  const consoleKeys = createApiKeys(redis, deployment)
  const doorbell = createDoorbell(connectRedis(redisUrl, 'background', SILENT), deployment)
  const app = createConsoleApp({
    ledger: createLedger({ redis, deployment, log: SILENT }), apiKeys: consoleKeys, sessions: createSessions(redis, deployment, consoleKeys), queueBoard: board.routes,
    doorbell, workers: createHeartbeats(redis, deployment).list, hosts: ['console.example'], deployment, ready: () => Promise.resolve({ ready: true, checks: [] }), log: SILENT, now: Date.now,
  })
  const stops: (() => Promise<unknown>)[] = [board.close, producer.close, async () => (doorbell.close(), redis.disconnect(), hand.disconnect())]
  const submit = async (more: Partial<NewTask> = {}) =>
    (await ledger.submit(NewTaskSchema.parse({ id: taskIdFrom(randomBytes(52)), agent_id: 'agent-a', prompt: 'the prompt', title: 'Mend the crane', mode: 'docker', ...more }))).task
  return {
    app, ledger, submit, operatorKey: operator.key, agentKey: (await apiKeys.make({ agentId: 'agent-a' }, 'test')).key,
    async start(more) {
      const task = await submit(more)
      const take = await ledger.take({ task_id: task.id, n: 1 }, 'worker-1')
      if (take.kind !== 'taken') throw new Error(`not taken: ${take.reason}`)
      return take.task
    },
    dispatch: async () => {
      const pending = await ledger.pendingTickets(100)
      await producer.addMany(pending.map(({ ticket }) => ({ ticket })))
    },
    addTicket: (ticket) => producer.add(ticket),
    forgetEngines: async () => void (await hand.del(queueKeys(deployment).engines)),
    beat: async (heartbeat) => void (await createHeartbeats(hand, deployment).beat(heartbeat)),
    revokeOperator: async () => void (await apiKeys.revoke(operator.apiKey.id)),
    async listen() {
      const server = serve({ fetch: app.fetch, hostname: '127.0.0.1', port: 0 })
      await once(server, 'listening')
      stops.unshift(() => new Promise((resolve) => {
        server.close(resolve)
        if ('closeAllConnections' in server) server.closeAllConnections()
      }))
      return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    },
    stop: async () => { for (const stop of stops) await stop() },
  }
}
