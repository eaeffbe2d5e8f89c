import { randomBytes } from 'node:crypto'

import { sharedRedisUrl, startBlackHole, waitFor } from '@longshore/testkit'
import { Redis } from 'ioredis'
import { afterAll, expect, test, vi } from 'vitest'

import { createDoorbell } from './doorbell.ts'
import { keysOf } from './keys.ts'

const [listener, ringer] = [new Redis(sharedRedisUrl()), new Redis(sharedRedisUrl())]
afterAll(() => [listener, ringer].forEach((redis) => redis.disconnect()))

test('who could not subscribe leaves nobody behind: the next one to listen is rung', async () => {
  const deployment = `b-${randomBytes(5).toString('hex')}`
  const doorbell = createDoorbell(listener, deployment)
  const subscribe = vi.spyOn(listener, 'subscribe').mockRejectedValueOnce(new Error('away'))
  await expect(doorbell.listen('fleet')).rejects.toThrow('away')
  const bell = await doorbell.listen('fleet')
  expect(subscribe).toHaveBeenCalledTimes(2)
  expect(await ringer.publish(keysOf(deployment).bell('fleet'), '1')).toBe(1)
  await bell.close()
})

test('a connection that hangs keeps nobody waiting, and rings when it answers again', async () => {
  const deployment = `b-${randomBytes(5).toString('hex')}`
  const hole = await startBlackHole(Number(new URL(sharedRedisUrl()).port))
  const redis = new Redis(hole.port)
  try {
    await redis.ping()
    hole.open()
    const doorbell = createDoorbell(redis, deployment)
    const bell = await doorbell.listen('fleet')
    await bell.next(10)
    await (await doorbell.listen('another')).close()
    hole.close()
    await waitFor(async () => (await ringer.publish(keysOf(deployment).bell('fleet'), '1')) === 1, { what: 'somebody to listen' })
    const since = performance.now()
    await bell.next(20_000)
    expect(performance.now() - since).toBeLessThan(10_000)
  } finally {
    redis.disconnect()
    await hole.stop()
  }
})
