import { hash } from 'node:crypto'
import type { Redis } from 'ioredis'

import type { TaskId } from '@longshore/contracts'
import { KEEP_SECONDS } from '../outbox/drafting-scripts.ts'

/** Receivers that want nothing more of a task (410), over restarts. */
export interface Gone {
  has(taskId: TaskId, to: string): Promise<boolean>
  add(taskId: TaskId, to: string): Promise<void>
}

/** @param prefix the sink's, ends with a colon */
export function createGone(redis: Redis, prefix: string): Gone {
  const key = (taskId: TaskId, to: string) => `${prefix}gone:${taskId}:${hash('sha256', to, 'base64url')}`
  return {
    has: async (taskId, to) => (await redis.exists(key(taskId, to))) === 1,
    add: async (taskId, to) => void (await redis.set(key(taskId, to), 1, 'EX', KEEP_SECONDS)),
  }
}
