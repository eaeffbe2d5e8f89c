import process from 'node:process'
import type { Writable } from 'node:stream'
import { Redis } from 'ioredis'

import type { Log } from '@longshore/contracts'

/**
 * `caller`: a request waits for an answer, so commands fail at once while Redis is away.
 * `background`: loops and blocking reads wait for it to come back.
 */
export type RedisRole = 'caller' | 'background'

/** Reconnects for ever, at most 2 s apart: Redis coming back must not need us to be restarted. */
export function connectRedis(url: string, role: RedisRole, log: Log): Redis {
  const redis = new Redis(url, {
    lazyConnect: false,
    maxRetriesPerRequest: role === 'caller' ? 0 : null,
    enableOfflineQueue: role === 'background',
    // A command that was sent when the connection broke may have been done: the caller decides, not the client.
    autoResendUnfulfilledCommands: role === 'background',
    retryStrategy: (times) => Math.min(50 * 2 ** Math.min(times, 6), 2_000),
  })
  redis.on('connect', () => gatherWrites(redis.stream))
  let wasDown = false
  redis.on('error', (error: Error) => {
    if (!wasDown) log.warn({ reason: error.message, role }, 'Redis does not answer; trying again')
    wasDown = true
  })
  redis.on('ready', () => {
    if (wasDown) log.info({ role }, 'Redis answers again')
    wasDown = false
  })
  return redis
}

/**
 * Sends the commands of one turn of the event loop with one system call: ioredis makes one for each, a sixth of what a
 * busy worker does. Nothing waits: the turn ends before anything else could be read or done.
 */
function gatherWrites(socket: Writable): void {
  const write = socket.write.bind(socket) as (...args: unknown[]) => boolean
  socket.write = (...args: unknown[]) => {
    if (socket.writableCorked === 0) {
      socket.cork()
      process.nextTick(() => socket.uncork())
    }
    return write(...args)
  }
}

/** Waits until the first connection stands, `timeoutMs` at most. @throws Error that says why it does not. */
export async function untilReady(redis: Redis, timeoutMs: number): Promise<void> {
  if (redis.status === 'ready') return
  await new Promise<void>((resolve, reject) => {
    let last = 'no answer'
    const onError = (error: Error) => { last = error.message }
    const timer = setTimeout(() => done(new Error(`Redis was not ready within ${timeoutMs} ms: ${last}`)), timeoutMs)
    const onReady = () => done()
    const done = (error?: Error) => {
      clearTimeout(timer)
      redis.off('ready', onReady).off('error', onError)
      if (error === undefined) resolve()
      else reject(error)
    }
    redis.on('ready', onReady).on('error', onError)
  })
}
