import { expect, test } from 'vitest'

import { judgeRedis } from './readiness.ts'

const GOOD = { redis_version: '7.0.15', maxmemory_policy: 'noeviction', aof_enabled: '1', aof_last_write_status: 'ok' }

test('a Redis 7 with noeviction and AOF is ready, and the fsync setting is shown', () => {
  const { ready, checks } = judgeRedis(GOOD, 'always')
  expect(ready).toBe(true)
  expect(checks.find((check) => check.name === 'aof')?.detail).toContain('always')
})

test.each([
  ['version', { redis_version: '6.2.14' }],
  ['eviction', { maxmemory_policy: 'allkeys-lru' }],
  ['aof', { aof_enabled: '0' }],
  ['aof_write', { aof_last_write_status: 'err' }],
])('a wrong %s makes it not ready, by that name', (name, fault) => {
  const { ready, checks } = judgeRedis({ ...GOOD, ...fault }, 'always')
  expect(ready).toBe(false)
  expect(checks.filter((check) => !check.ok).map((check) => check.name)).toEqual([name])
})
