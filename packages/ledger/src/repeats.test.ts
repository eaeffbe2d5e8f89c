import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { sharedRedisUrl } from '@longshore/testkit'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { type EventDraft, NewTask, SILENT, START, taskIdFrom } from '@longshore/contracts'

import { createLedger } from './create-ledger.ts'
import type { Claim, Ledger } from './ledger.ts'

// A background connection sends again what it got no answer for, and Redis may have done it already.
const direct = new URL(sharedRedisUrl())
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
  ledger = createLedger({ redis, deployment: `t-${randomBytes(6).toString('hex')}`, log: SILENT })
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

async function running(): Promise<Claim> {
  const { task } = await ledger.submit(NewTask.parse({ id: taskIdFrom(randomBytes(52)), agent_id: 'agent-a', prompt: 'p', title: 't', mode: 'docker' }))
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
