import { randomBytes } from 'node:crypto'

import { NewTask, SILENT, taskIdFrom } from '@longshore/contracts'
import { createLedger } from '@longshore/ledger'
import { type DeafRedis, sharedRedisUrl, startDeafRedis } from '@longshore/testkit'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { type GatewayFixture, startGatewayFixture } from '../gateway-fixture.ts'
import { readEvents } from './event-reader.ts'

const READERS = 20
const EVENTS = 300

let deaf: DeafRedis
let fixture: GatewayFixture
let redis: Redis

beforeAll(async () => {
  deaf = await startDeafRedis(sharedRedisUrl())
  fixture = await startGatewayFixture({ EVENTS_POLL_MS: '100' }, deaf.url)
  redis = new Redis(sharedRedisUrl())
})
afterAll(async () => {
  await fixture.stop()
  redis.disconnect()
  await deaf.stop()
})

test('G5: every reader gets every event, once and in order, also when every message of pub/sub is lost', async () => {
  // Whoever writes hears nothing of it either way.
  const ledger = createLedger({ redis, deployment: fixture.deployment, log: SILENT })
  const { task } = await ledger.submit(NewTask.parse({ id: taskIdFrom(randomBytes(52)), agent_id: 'agent-alice', prompt: 'x', title: 'x', mode: 'docker' }))
  const take = await ledger.take({ task_id: task.id, n: 1 }, 'worker-1')
  if (take.kind !== 'taken') throw new Error('not taken')
  const claim = { taskId: task.id, claim: take.task.claim }
  const everything = await readEvents(`${fixture.url}/api/events?cursor=0`, fixture.keys.operator)
  const readers = await Promise.all(Array.from({ length: READERS }, () => readEvents(`${fixture.url}/api/tasks/${task.id}/events`, fixture.keys.alice)))
  for (let i = 0; i < EVENTS / 3; i++) {
    await ledger.append(claim, ['a', 'b', 'c'].map((text) => ({ type: 'task.output', payload: { text: text + i, stream: 'agent' } })))
  }
  await ledger.end(claim, { state: 'completed', payload: { result: { output: '', output_truncated: false, files_changed: 0 } } })
  const all = Array.from({ length: EVENTS + 3 }, (_, i) => i + 1)
  for (const reader of readers) {
    const events = await reader.ended()
    expect(events.slice(0, -1).map(({ data }) => (JSON.parse(data) as { seq: number }).seq)).toEqual(all)
  }
  const fleet = await everything.until(EVENTS + 3)
  expect(fleet.map(({ data }) => (JSON.parse(data) as { seq: number }).seq)).toEqual(all)
  everything.close()
  expect(deaf.dropped()).toBeGreaterThan(EVENTS / 3)
})
