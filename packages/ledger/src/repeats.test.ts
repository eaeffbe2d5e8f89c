import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { sharedRedisUrl } from '@longshore/testkit'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { type EventDraft, NewTask, SILENT, START, type Task, taskIdFrom } from '@longshore/contracts'

import { createLedger } from './create-ledger.ts'
import { keysOf } from './keys.ts'
import type { Claim, Ledger } from './ledger.ts'

// A background connection sends again what it got no answer for, and Redis may have done it already.
const direct = new URL(sharedRedisUrl())
const deployment = `t-${randomBytes(6).toString('hex')}`
let losesNextAnswer = false
let proxy: Server
let redis: Redis
let ledger: Ledger

beforeAll(async () => {
  proxy = createServer((client) => forward(client, connect(Number(direct.port), direct.hostname))).listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  const url = new URL(direct)
  url.port = String((proxy.address() as { port: number }).port)
  redis = new Redis(url.href, { maxRetriesPerRequest: null, autoResendUnfulfilledCommands: true, retryStrategy: () => 20 })
  redis.on('error', () => undefined)
  ledger = createLedger({ redis, deployment, log: SILENT })
})
afterAll(() => {
  redis.disconnect()
  proxy.close()
})

function forward(client: Socket, upstream: Socket): void {
  client.on('error', () => undefined).on('close', () => upstream.destroy()).pipe(upstream)
  upstream.on('error', () => undefined).on('close', () => client.destroy())
  upstream.on('data', (answer) => {
    if (losesNextAnswer) client.destroy()
    else client.write(answer)
    losesNextAnswer = false
  })
}

async function submitted(): Promise<Task> {
  return (await ledger.submit(NewTask.parse({ id: taskIdFrom(randomBytes(52)), agent_id: 'agent-a', prompt: 'p', title: 't', mode: 'docker' }))).task
}
async function running(): Promise<Claim> {
  const task = await submitted()
  const take = await ledger.take({ task_id: task.id, n: 1 }, 'worker-1')
  if (take.kind !== 'taken') throw new Error(`not taken: ${take.reason}`)
  // So that Redis knows the scripts: what is lost below is the answer of the very script.
  await ledger.append({ taskId: task.id, claim: 1 }, [said('first')])
  return { taskId: task.id, claim: take.task.claim }
}
const said = (text: string): EventDraft => ({ type: 'task.output', payload: { text, stream: 'agent' } })
async function typesOf({ taskId }: Claim): Promise<string[]> {
  const page = await ledger.read(taskId, START, 100)
  return page?.kind === 'events' ? page.events.map((event) => event.type) : []
}
async function withoutAnswer<T>(call: () => Promise<T>): Promise<T> {
  losesNextAnswer = true
  const answer = await call()
  expect(losesNextAnswer).toBe(false)
  return answer
}

test('G1: a submit whose answer was lost is accepted once, and its sender hears so', async () => {
  await submitted() // Redis knows the script
  const task = await withoutAnswer(submitted)
  expect(task).toEqual(await ledger.get(task.id))
  expect(await typesOf({ taskId: task.id, claim: 0 })).toEqual(['task.queued'])
  await expect(ledger.submit(NewTask.parse({ id: task.id, agent_id: 'agent-a', prompt: 'p', title: 't', mode: 'docker' }))).rejects.toThrow('DUPLICATE')
})

test('G5: events whose acknowledgement was lost are in the log once', async () => {
  const claim = await running()
  expect(await withoutAnswer(() => ledger.append(claim, [said('one'), said('two')], 'p'))).toBe(5)
  expect(await ledger.append(claim, [said('three')])).toBe(6)
  expect((await typesOf(claim)).filter((type) => type === 'task.output')).toHaveLength(4)
})

test('an attempt whose acknowledgement was lost is counted once', async () => {
  const warm = await running()
  await ledger.restart(warm, 'worker-1')
  const claim = await running()
  expect(await withoutAnswer(() => ledger.restart(claim, 'worker-1'))).toMatchObject({ attempt: 2 })
  expect((await typesOf(claim)).slice(3)).toEqual(['task.retrying', 'task.started'])
})

test('G3: who made the end hears so also when the first answer was lost', async () => {
  const completed = { state: 'completed', payload: { result: { output: '', output_truncated: false, files_changed: 0 } } } as const
  await ledger.end(await running(), completed)
  const claim = await running()
  expect(await withoutAnswer(() => ledger.end(claim, completed))).toMatchObject({ won: true, state: 'completed' })
  expect(await ledger.end(claim, completed)).toMatchObject({ won: false, state: 'completed' })
})

test('a take whose answer was lost is the same take: the same claim, attempt and count of crashes', async () => {
  await running()
  const { id } = await submitted()
  const ticket = { task_id: id, n: 1 }
  expect(await withoutAnswer(() => ledger.take(ticket, 'worker-1'))).toMatchObject({ kind: 'taken', takeover: false, task: { claim: 1, attempt: 1 } })
  expect(await withoutAnswer(() => ledger.take(ticket, 'worker-2'))).toMatchObject({ kind: 'taken', takeover: true, task: { claim: 2, attempt: 1, crashes: 1 } })
  expect(await ledger.take(ticket, 'worker-2')).toMatchObject({ task: { claim: 3, crashes: 2 } })
  expect(await typesOf({ taskId: id, claim: 3 })).toEqual(['task.queued', 'task.started'])
})

test('a task whose rerouting was not acknowledged is rerouted once', async () => {
  const warm = await running()
  await ledger.reroute(warm.taskId, 1, 'an engine')
  const { taskId } = await running()
  await withoutAnswer(() => ledger.reroute(taskId, 1, 'an engine'))
  expect(await ledger.get(taskId)).toMatchObject({ ticket: 2, route: 'an engine' })
  const pending = (await ledger.pendingTickets(100)).filter(({ ticket }) => ticket.task_id === taskId)
  expect(pending.map(({ ticket }) => [ticket.n, ticket.engine_id])).toEqual([[2, 'an engine']])
})

test('G10: a deployment has one identity, whoever asks first and however often', async () => {
  const other = createLedger({ redis, deployment: `t-${randomBytes(6).toString('hex')}`, log: SILENT })
  const seconds = Number((await redis.time())[0])
  const others = await other.identity()
  expect(others.createdAt - seconds * 1_000).toBeLessThan(60_000)
  expect(others.createdAt).toBeGreaterThanOrEqual(seconds * 1_000)
  const first = await withoutAnswer(() => ledger.identity())
  const answers = await Promise.all(Array.from({ length: 20 }, () => ledger.identity()))
  expect(new Set([first, ...answers].map((identity) => JSON.stringify(identity))).size).toBe(1)
  expect(first.id).not.toBe(others.id)
})

test('an end by the time in the queue whose answer was lost happened once', async () => {
  const { id } = await submitted()
  await redis.hset(keysOf(deployment).task(id), 'deadline_at', 5)
  await ledger.timeoutUnowned(id, 9)
  await withoutAnswer(() => ledger.timeoutUnowned(id, 1))
  expect(await typesOf({ taskId: id, claim: 0 })).toEqual(['task.queued', 'task.timeout'])
})
