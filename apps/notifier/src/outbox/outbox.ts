import type { Redis } from 'ioredis'

import type { TaskId } from '@longshore/contracts'
import { outboxPrefix } from '@longshore/outbox'
import { type Letter, letterId, lineOf, type Notice, receiptKey, Reply } from '../notice.ts'
import { EMPTY_VIEW, TaskView } from '../task-view.ts'
import { PUT, SAY } from './drafting-scripts.ts'

export interface OutboxOf { redis: Redis; deployment: string; sink: string }

interface Draft { cursor: string; views: ReadonlyMap<TaskId, TaskView>; notices: readonly { notice: Notice; lane: string }[] }

/** What is still to be told to one sink, in Redis: how it gets in. How it gets out: lanes.ts. */
export interface Outbox {
  /** Position in the fleet stream; `0` at first. */
  cursor(): Promise<string>
  view(taskId: TaskId): Promise<TaskView>
  /** When this sink was first used, by Redis' clock as the times of tasks are (ms): what ended long before is history, not news. */
  born(): Promise<number>
  /** Notices, views and cursor in one step (G8). @param fence of the lease on following; it throws when that is another's */
  put(draft: Draft, fence: number): Promise<void>
  /** Anybody may; the lane of a reply is its room. @returns false: this id was said before */
  say(reply: Omit<Reply, 'v' | 'kind'>): Promise<boolean>
  sizes(): Promise<{ waiting: number; dead: number; oldestAgeMs: number }>
}

export function createOutbox({ redis, deployment, sink }: OutboxOf): Outbox {
  const prefix = outboxPrefix(deployment, sink)
  const run = (script: string, ...args: readonly string[]) => redis.eval(script, 1, prefix, ...args)
  const nowMs = async () => {
    const [seconds, micros] = await redis.time()
    return Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000)
  }
  return {
    cursor: async () => (await redis.get(`${prefix}cursor`)) ?? '0',
    view: async (taskId) => {
      const stored = await redis.get(`${prefix}view:${taskId}`)
      return stored === null ? EMPTY_VIEW : TaskView.parse(JSON.parse(stored))
    },
    born: async () => {
      await redis.setnx(`${prefix}born`, Math.floor((await nowMs()) / 1_000) * 1_000)
      return Number(await redis.get(`${prefix}born`))
    },
    put: async ({ cursor, views, notices }, fence) => {
      const viewArgs = [...views].flatMap(([id, view]) => [id, JSON.stringify(view)])
      const noticeArgs = notices.flatMap(({ notice, lane }) => [letterId(notice), JSON.stringify(notice), lane, lineOf(notice), receiptKey(notice) ?? '', isUrgent(notice) ? '1' : '0'])
      await run(PUT, String(fence), cursor, String(views.size), ...viewArgs, ...noticeArgs)
    },
    say: async (reply) => {
      const letter: Letter = Reply.parse({ v: 1, kind: 'reply', ...reply })
      return (await run(SAY, letterId(letter), JSON.stringify(letter), letter.room, lineOf(letter))) === 1
    },
    sizes: async () => {
      const [waiting, sending, dead, [, since], now] = await Promise.all([
        redis.hlen(`${prefix}outbox`), redis.hlen(`${prefix}sending`), redis.zcard(`${prefix}dead:times`), redis.zrange(`${prefix}ages`, '0', '0', 'WITHSCORES'), nowMs(),
      ])
      return { waiting: waiting + sending, dead, oldestAgeMs: since === undefined ? 0 : Math.max(0, now - Number(since)) }
    },
  }
}

/** The card of a task that is over, and an answered question, have nothing to wait for. */
const isUrgent = ({ kind, status }: Notice): boolean => kind === 'question' || ['completed', 'failed', 'timeout', 'cancelled', 'input_required'].includes(status)
