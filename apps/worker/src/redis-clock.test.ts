import { startRedis } from '@longshore/testkit'
import { SILENT } from '@longshore/contracts'
import { connectRedis } from '@longshore/runtime'
import { expect, test } from 'vitest'

import { startRedisClock } from './redis-clock.ts'

test('G9: a Redis that answers late does not set the clock by that', async () => {
  const server = await startRedis()
  const [redis, other] = [connectRedis(server.url, 'background', SILENT), connectRedis(server.url, 'background', SILENT)]
  try {
    const clock = await startRedisClock(redis)
    const offBy = async (): Promise<number> => {
      const before = clock.now()
      const [seconds, micros] = await other.time()
      const there = Number(seconds) * 1_000 + Number(micros) / 1_000
      // It was asked for at some time between.
      return Math.max(before - there, there - clock.now(), 0)
    }
    expect(await offBy()).toBeLessThan(300)
    // What is asked now is answered in three seconds; by the middle of that the clock would be ahead by half of it.
    await other.call('CLIENT', 'PAUSE', '3000', 'ALL')
    await clock.measure()
    expect(await offBy()).toBeLessThan(300)
  } finally {
    redis.disconnect()
    other.disconnect()
    await server.stop()
  }
})
