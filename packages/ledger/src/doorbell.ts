import { setTimeout as sleep } from 'node:timers/promises'

import type { Redis } from 'ioredis'

import { keysOf } from './keys.ts'

/**
 * Pub/sub is a doorbell, delivered at most once (G5): listen first, then read the log, then wait for `next`,
 * with a bound on the wait. Whoever does so misses nothing, also when every ring is lost.
 */
export interface Bell {
  /** Resolves when the bell rang since the last `next`, after `timeoutMs`, or when `signal` aborts. Never rejects. */
  next(timeoutMs: number, signal?: AbortSignal): Promise<void>
  close(): Promise<void>
}

export interface Doorbell {
  /** @param topic a task's id, or `fleet` for all of them. */
  listen(topic: string): Promise<Bell>
  close(): void
}

/** A connection of its own can hang for minutes while the log can be read, as one that was idle for long and was forgotten on the way: nobody waits for it. */
const HANGING_MS = 1_000

function unlessItHangs(call: Promise<unknown>): Promise<unknown> {
  return Promise.race([call, sleep(HANGING_MS, undefined, { ref: false })])
}

/** @param redis a `background` connection that only this doorbell uses: it becomes a subscriber. */
export function createDoorbell(redis: Redis, deployment: string): Doorbell {
  const keys = keysOf(deployment)
  const listeners = new Map<string, Set<() => void>>()
  redis.on('message', (channel: string) => listeners.get(channel)?.forEach((ring) => ring()))
  // Rings may have been missed while the connection was away: everybody looks.
  redis.on('ready', () => listeners.forEach((rings) => rings.forEach((ring) => ring())))
  return {
    async listen(topic) {
      const channel = keys.bell(topic)
      const rings = listeners.get(channel) ?? new Set()
      const { bell, ring } = createBell(async () => {
        rings.delete(ring)
        if (rings.size > 0 || listeners.get(channel) !== rings) return
        listeners.delete(channel)
        await unlessItHangs(redis.unsubscribe(channel))
      })
      rings.add(ring)
      listeners.set(channel, rings)
      try {
        if (rings.size === 1) await unlessItHangs(redis.subscribe(channel))
      } catch (error) {
        // Who is left in the set would be the reason why the next one does not subscribe.
        rings.delete(ring)
        if (rings.size === 0) listeners.delete(channel)
        throw error
      }
      return bell
    },
    close: () => redis.disconnect(),
  }
}

function createBell(close: () => Promise<void>): { bell: Bell; ring: () => void } {
  let rang = false
  let wake: (() => void) | undefined
  const ring = () => {
    rang = true
    wake?.()
  }
  const next = async (timeoutMs: number, signal?: AbortSignal) => {
    if (!rang && signal?.aborted !== true) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(done, timeoutMs)
        function done() {
          clearTimeout(timer)
          signal?.removeEventListener('abort', done)
          wake = undefined
          resolve()
        }
        wake = done
        signal?.addEventListener('abort', done)
      })
    }
    rang = false
  }
  return { bell: { next, close }, ring }
}
