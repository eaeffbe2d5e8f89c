import { ZodError } from 'zod'

import type { Clock, Log, TaskId } from '@longshore/contracts'
import type { Bell, Ledger } from '@longshore/ledger'
import { draftTask } from './draft-task.ts'
import type { Notice } from './notice.ts'
import { KEEP_SECONDS } from './outbox/drafting-scripts.ts'
import type { Outbox } from './outbox/outbox.ts'
import type { Sink } from './sink.ts'
import type { TaskView } from './task-view.ts'

export interface FollowDeps {
  ledger: Pick<Ledger, 'get' | 'list' | 'read' | 'readFleet' | 'fleetGap'>
  outbox: Pick<Outbox, 'cursor' | 'view' | 'born' | 'put'>
  sink: Pick<Sink, 'draft' | 'laneOf'>
  /** Of the lease on following. */
  fence: number
  bell: Bell
  log: Log
  now: Clock
}

const PAGE = 500
/** Also without a ring we look: pub/sub is a hint (G5). */
const POLL_MS = 2_000
/** What ended longer ago than this, before the sink was first used, is history. */
const NEWS_MS = 60 * 60_000

/**
 * Follows the fleet stream and turns what happened into outbox entries, until `signal` aborts.
 * @throws what Redis threw, or that another has the lease: the caller begins again from the stored cursor, and nothing is lost (G8)
 */
export async function followFleet(deps: FollowDeps, signal: AbortSignal): Promise<void> {
  const newsSince = (await deps.outbox.born()) - NEWS_MS
  while (!signal.aborted) {
    const isMore = await step(deps, newsSince)
    if (!isMore) await deps.bell.next(POLL_MS, signal)
  }
}

/** One page of the stream, one step in Redis. @returns whether there may be more */
async function step(deps: FollowDeps, newsSince: number): Promise<boolean> {
  const { ledger, outbox } = deps
  const cursor = await outbox.cursor()
  const gap = await ledger.fleetGap(cursor)
  if (gap !== undefined) {
    await lookAtAll(deps, cursor, gap, newsSince)
    return true
  }
  const entries = await ledger.readFleet(cursor, PAGE)
  const last = entries.at(-1)
  if (last === undefined) return false
  await draft(deps, new Set(entries.map((entry) => entry.taskId)), last.position, newsSince)
  return entries.length === PAGE
}

/**
 * The stream was trimmed while nobody followed it: what happened stands in the tasks' own logs, and each view knows how far
 * its task was told of. The cursor moves at the end only: whoever is interrupted begins again, and repeats nothing.
 */
async function lookAtAll(deps: FollowDeps, cursor: string, gap: string, newsSince: number): Promise<void> {
  deps.log.warn({ from: cursor, to: gap }, 'the stream of events was trimmed before it was read; looking at every task')
  // Of what is older no view may be left to say that it was told.
  const since = Math.max(newsSince, deps.now() - KEEP_SECONDS * 1_000 + NEWS_MS)
  for (let offset = 0; ; offset += PAGE) {
    const tasks = await deps.ledger.list({ limit: PAGE, offset })
    await draft(deps, new Set(tasks.map(({ id }) => id)), tasks.length === 0 ? gap : cursor, since)
    if (tasks.length === 0) return
  }
}

/** Drafts what is new of these tasks, and moves the cursor, in one step. */
async function draft({ ledger, outbox, sink, log, fence }: FollowDeps, tasks: ReadonlySet<TaskId>, cursor: string, newsSince: number): Promise<void> {
  const views = new Map<TaskId, TaskView>()
  const notices: Notice[] = []
  for (const taskId of tasks) {
    const found = await outbox.view(taskId).then((view) => draftTask(ledger, sink, taskId, view, newsSince)).catch(unreadable(log, taskId))
    if (found === undefined) continue
    views.set(taskId, found.view)
    notices.push(...found.notices)
  }
  await outbox.put({ cursor, views, notices: notices.map((notice) => ({ notice, lane: sink.laneOf(notice) })) }, fence)
}

/** One record that this build cannot read must not silence all other tasks. */
const unreadable = (log: Log, taskId: TaskId) => (error: unknown): undefined => {
  if (!(error instanceof ZodError) && !(error instanceof SyntaxError)) throw error
  log.error({ task: taskId, reason: error.message }, 'a task could not be read; nobody is told of what just happened to it')
}
