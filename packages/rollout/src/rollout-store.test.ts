import { randomUUID } from 'node:crypto'

import { sharedRedisUrl } from '@longshore/testkit'
import { Redis } from 'ioredis'
import { afterAll, expect, test } from 'vitest'
import { chooseMode } from './choose-mode.ts'
import { createRolloutStore, startPercent } from './rollout-store.ts'

const connections: Redis[] = []
afterAll(() => connections.forEach((redis) => redis.disconnect()))

/** As many processes would see it: each store has a connection of its own. */
function storesOf(count: number) {
  const deployment = `t-${randomUUID()}`
  return Array.from({ length: count }, () => {
    const redis = new Redis(sharedRedisUrl())
    connections.push(redis)
    return createRolloutStore(redis, deployment)
  })
}

test.each([
  [{ CANARY_OPENCODE_PERCENT: 12.5, OPENCODE_SERVER_ENABLED: true }, 12.5],
  [{ CANARY_OPENCODE_PERCENT: 0, OPENCODE_SERVER_ENABLED: true }, 0],
  [{ OPENCODE_SERVER_ENABLED: true }, 100],
  [{ OPENCODE_SERVER_ENABLED: false }, 0],
  [{}, 0],
])('the start value of %o is %d', async (start, percent) => {
  expect(startPercent(start)).toBe(percent)
  const [store] = storesOf(1)
  expect(await store?.get(start)).toMatchObject({ opencode_percent: percent, updated_by: 'start', updated_at: 0 })
})

test('processes that start at once agree on the salt, and so on every key', async () => {
  const stores = storesOf(4)
  const policies = await Promise.all(stores.map((store) => store.get({ CANARY_OPENCODE_PERCENT: 40 })))
  expect(new Set(policies.map((policy) => policy.salt)).size).toBe(1)
  const splits = policies.map((policy) => Array.from({ length: 500 }, (_, i) => chooseMode({ policy, stickyKey: `agent-${i}` })).join())
  expect(new Set(splits).size).toBe(1)
})

test('a set share is seen by every process, beats the start value and leaves the salt', async () => {
  const [one, two] = storesOf(2)
  const before = await one?.get({})
  const set = await one?.set(33.3, 'operator:key-1')
  expect(set).toMatchObject({ opencode_percent: 33.3, updated_by: 'operator:key-1', salt: before?.salt })
  expect(set?.updated_at).toBeGreaterThan(1_600_000_000_000)
  expect(await two?.get({ CANARY_OPENCODE_PERCENT: 90 })).toEqual(set)
})

test('a share that is set again under the same name does not undo what was set since', async () => {
  const [store] = storesOf(1)
  await store?.set(50, 'chat', 'w1')
  await store?.set(0, 'operator:key-1')
  expect(await store?.set(50, 'chat', 'w1')).toMatchObject({ opencode_percent: 0, updated_by: 'operator:key-1' })
})

test.each([-1, 100.1, Number.NaN])('a share of %d is refused and changes nothing', async (percent) => {
  const [store] = storesOf(1)
  await expect(store?.set(percent, 'x')).rejects.toThrow('expected')
  expect(await store?.get({ CANARY_OPENCODE_PERCENT: 7 })).toMatchObject({ opencode_percent: 7 })
})
