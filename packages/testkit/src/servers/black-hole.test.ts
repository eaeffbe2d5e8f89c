import { Redis } from 'ioredis'
import { expect, test } from 'vitest'
import { startBlackHole } from './black-hole.ts'
import { sharedRedisUrl } from './shared-redis.ts'

test('a black hole loses everything without closing anything, and lets it arrive late', async () => {
  const hole = await startBlackHole(Number(new URL(sharedRedisUrl()).port))
  const redis = new Redis(hole.port, '127.0.0.1', { maxRetriesPerRequest: null })
  try {
    expect(await redis.ping()).toBe('PONG')
    let isClosed = false
    redis.on('close', () => { isClosed = true })
    hole.open()
    const late = redis.ping()
    await expect(Promise.race([late, new Promise((resolve) => setTimeout(resolve, 500, 'nothing'))])).resolves.toBe('nothing')
    expect(isClosed).toBe(false)
    hole.close()
    expect(await late).toBe('PONG')
  } finally {
    redis.disconnect()
    await hole.stop()
  }
})
