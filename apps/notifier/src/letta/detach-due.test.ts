import { sharedRedisUrl } from '@longshore/testkit'
import { expect, test } from 'vitest'

import { SILENT } from '@longshore/contracts'
import { outboxPrefix } from '@longshore/outbox'
import { createHarbour } from '../testing/harbour.ts'
import { ends } from '../testing/world.ts'
import { createDetaching } from './detach-due.ts'

test('a block at which Letta always fails keeps no other attached', async () => {
  const { redis, deployment } = createHarbour(sharedRedisUrl())
  ends({ stop: () => Promise.resolve(redis.disconnect()) })
  let now = 1_000
  const detached: string[] = []
  const detach = (_: string, blockId: string) => (blockId === 'b1' ? Promise.reject(new DOMException('no answer', 'AbortError')) : Promise.resolve(void detached.push(blockId)))
  const detaching = createDetaching(redis, outboxPrefix(deployment, 'letta'), 0, { api: { detach }, now: () => now, log: SILENT })
  for (const block of ['b1', 'b2', 'b3']) await detaching.add('agent-1', block)
  for (let i = 0; i < 2; i++) await detaching.round()
  expect(detached).toEqual(['b2', 'b3'])
  now += 60_000
  await detaching.round()
  expect(await redis.zcard(`${outboxPrefix(deployment, 'letta')}detach`)).toBe(1)
})
