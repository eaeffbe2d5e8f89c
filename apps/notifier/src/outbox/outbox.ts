import type { Redis } from 'ioredis'

import type { TaskId } from '@longshore/contracts'
import { Notice, noticeId } from '../notice.ts'
import { EMPTY_VIEW, TaskView } from '../task-view.ts'
import { Frozen } from './frozen.ts'
import { BURY, FREEZE, NEXT, PUT, RELEASE, STRIKE } from './scripts.ts'

type Next =
  /** It may have been sent already. */
  | { kind: 'sending'; frozen: Frozen }
  /** `stored` names this very version of it; `root`: the receipt of the task's card. */
  | { kind: 'candidate'; notice: Notice; stored: string; root: string | undefined }
  /** `waitMs`: until the next edit is due. */
  | { kind: 'idle'; waitMs: number | undefined }

interface Draft { cursor: string; views: ReadonlyMap<TaskId, TaskView>; notices: readonly Notice[] }

/** What is still to be told to one sink, in Redis. Every change is one step; it throws when another notifier has the lease (G8). */
export interface Outbox {
  /** Position in the fleet stream; `0` at first. */
  cursor(): Promise<string>
  view(taskId: TaskId): Promise<TaskView>
  /** When this sink was first used, by Redis' clock as the times of tasks are (ms): what ended long before is history, not news. */
  born(): Promise<number>
  /** Notices, views and cursor in one step. */
  put(draft: Draft): Promise<void>
  next(editsMayGo: boolean): Promise<Next>
  /** False: a newer version has replaced it; ask `next` again. */
  freeze(stored: string, frozen: Frozen): Promise<boolean>
  release(): Promise<boolean>
  /** @param receipt of a card's first post: where its edits and thread belong */
  strike(receipt: string | undefined): Promise<void>
  bury(reason: string): Promise<void>
  sizes(): Promise<{ waiting: number; dead: number }>
}

/** @param prefix the sink's, ends with a colon; @param fence from the lease */
export function createOutbox(redis: Redis, prefix: string, fence: number): Outbox {
  const run = (script: string, ...args: readonly string[]) => redis.eval(script, 1, prefix, String(fence), ...args)
  return {
    cursor: async () => (await redis.get(`${prefix}cursor`)) ?? '0',
    view: async (taskId) => {
      const stored = await redis.get(`${prefix}view:${taskId}`)
      return stored === null ? EMPTY_VIEW : TaskView.parse(JSON.parse(stored))
    },
    born: async () => {
      const [seconds] = await redis.time()
      await redis.setnx(`${prefix}born`, Number(seconds) * 1_000)
      return Number(await redis.get(`${prefix}born`))
    },
    put: async ({ cursor, views, notices }) => {
      const viewArgs = [...views].flatMap(([id, view]) => [id, JSON.stringify(view)])
      const noticeArgs = notices.flatMap((notice) => [noticeId(notice), JSON.stringify(notice), notice.kind, notice.task_id, isUrgent(notice) ? '1' : '0'])
      await run(PUT, cursor, String(views.size), ...viewArgs, ...noticeArgs)
    },
    next: async (editsMayGo) => nextOf(await run(NEXT, editsMayGo ? '1' : '0')),
    freeze: async (stored, frozen) => (await run(FREEZE, noticeId(frozen.notice), stored, JSON.stringify(frozen))) === 1,
    release: async () => (await run(RELEASE)) === 1,
    strike: async (receipt) => void (await run(STRIKE, receipt ?? '')),
    bury: async (reason) => void (await run(BURY, reason)),
    sizes: async () => {
      const [waiting, sending, dead] = await Promise.all([redis.hlen(`${prefix}outbox`), redis.exists(`${prefix}sending`), redis.llen(`${prefix}dead`)])
      return { waiting: waiting + sending, dead }
    },
  }
}

/** The card of a task that is over has nothing to wait for. */
const isUrgent = (notice: Notice): boolean => ['completed', 'failed', 'timeout', 'cancelled', 'input_required'].includes(notice.status)

function nextOf(answer: unknown): Next {
  const [kind, a, b, c] = answer as [string, string | number, string, string]
  if (kind === 'sending') return { kind, frozen: Frozen.parse(JSON.parse(String(a))) }
  if (kind === 'candidate') return { kind, notice: Notice.parse(JSON.parse(b)), stored: b, root: c === '' ? undefined : c }
  return { kind: 'idle', waitMs: Number(a) < 0 ? undefined : Number(a) }
}
