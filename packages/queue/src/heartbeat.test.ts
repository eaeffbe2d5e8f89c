import { afterEach, beforeEach, expect, test } from 'vitest'

import { createDrainRequests } from './drain-requests.ts'
import { createHeartbeats, type Heartbeats, reaching } from './heartbeat.ts'
import { queueKeys } from './names.ts'
import { aHeartbeat, aQueueWorld, type QueueWorld } from './testing/queue-world.ts'

let world: QueueWorld
let heartbeats: Heartbeats
beforeEach(async () => {
  world = await aQueueWorld()
  heartbeats = createHeartbeats(world.redis, world.deployment)
})
afterEach(() => world.stop())

test('workers of the previous build and of a newer one are read beside ours; what nobody can read hides no one', async () => {
  const keys = queueKeys(world.deployment)
  const { resume: _, ...capabilities } = aHeartbeat('old').modes[0]?.capabilities ?? {}
  const old = { ...aHeartbeat('old'), modes: [{ mode: 'docker', ok: true, isolation: 'container', capabilities }] }
  const newer = { ...aHeartbeat('newer', 'e'), gpu: 'yes', modes: [{ ...aHeartbeat('newer', 'e').modes[0], zone: 'z' }] }
  const others = { old, newer, alien: { v: 7, name: 'alien' } }
  await heartbeats.beat(aHeartbeat('ours', 'e'))
  for (const [name, value] of Object.entries(others)) await world.redis.multi().set(keys.worker(name), JSON.stringify(value)).zadd(keys.workers, Date.now(), name).exec()
  const found = await heartbeats.list()
  expect(found.map(({ name }) => name)).toEqual(['newer', 'old', 'ours'])
  expect(found[1]?.modes[0]).toMatchObject({ ok: true, capabilities: { adopt: true, resume: false } })
  expect(found[1]?.modes[0]?.engine_id).toBeUndefined()
})

test('who could take a task back to its engine: those who reach it, are well and not ending', () => {
  const workers = [
    aHeartbeat('there', 'e'), aHeartbeat('ending', 'e', { draining: true }), aHeartbeat('off', 'e', { ok: false, reason: 'engine away' }),
    aHeartbeat('elsewhere', 'f'), aHeartbeat('old'), aHeartbeat('other mode', 'e', { mode: 'opencode' }),
  ]
  expect(reaching(workers, 'docker', 'e').map(({ name }) => name)).toEqual(['there'])
})

test('G12: a drain is asked of one worker, heard with its heartbeat, and can be taken back', async () => {
  const drains = createDrainRequests(world.redis, world.deployment)
  expect(await drains.request('nobody')).toBe(false)
  expect(await heartbeats.beat(aHeartbeat('a'))).toEqual({ isDrainAsked: false })
  await heartbeats.beat(aHeartbeat('b'))
  expect(await drains.request('a')).toBe(true)
  expect(await heartbeats.beat(aHeartbeat('a'))).toEqual({ isDrainAsked: true })
  expect(await heartbeats.beat(aHeartbeat('b'))).toEqual({ isDrainAsked: false })
  expect([await drains.undo('a'), await drains.undo('a')]).toEqual([true, false])
  expect(await heartbeats.beat(aHeartbeat('a'))).toEqual({ isDrainAsked: false })
})

test('G12: a worker that ended in order leaves no request for a successor of its name', async () => {
  await heartbeats.beat(aHeartbeat('a'))
  await createDrainRequests(world.redis, world.deployment).request('a')
  await heartbeats.remove('a')
  expect(await heartbeats.list()).toEqual([])
  expect(await heartbeats.beat(aHeartbeat('a'))).toEqual({ isDrainAsked: false })
})
