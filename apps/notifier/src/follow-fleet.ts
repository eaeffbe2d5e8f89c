import { ZodError } from 'zod'

import type { Clock, Log, TaskId } from '@longshore/contracts'
import type { Bell, Ledger } from '@longshore/ledger'
import { draftTask } from './draft-notices.ts'
import type { Notice } from './notice.ts'
import type { Outbox } from './outbox/outbox.ts'
import type { TaskView } from './task-view.ts'

export interface FollowDeps {
  ledger: Pick<Ledger, 'get' | 'read' | 'readFleet'>
  outbox: Pick<Outbox, 'cursor' | 'view' | 'born' | 'put'>
  bell: Bell
  log: Log
  now: Clock
  /** Wakes the lane. */
  drafted: (notices: readonly Notice[]) => void
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
  const newsSince = (await deps.outbox.born(deps.now())) - NEWS_MS
  while (!signal.aborted) {
    const isMore = await step(deps, newsSince)
    if (!isMore) await deps.bell.next(POLL_MS, signal)
  }
}

/** One page of the stream, one step in Redis. @returns whether there may be more */
async function step(deps: FollowDeps, newsSince: number): Promise<boolean> {
  const { ledger, outbox, drafted } = deps
  const entries = await ledger.readFleet(await outbox.cursor(), PAGE)
  const last = entries.at(-1)
  if (last === undefined) return false
  const views = new Map<TaskId, TaskView>()
  const notices: Notice[] = []
  for (const taskId of new Set(entries.map((entry) => entry.taskId))) {
    const draft = await outbox.view(taskId).then((view) => draftTask(ledger, taskId, view, newsSince)).catch(unreadable(deps.log, taskId))
    if (draft === undefined) continue
    views.set(taskId, draft.view)
    notices.push(...draft.notices)
  }
  await outbox.put({ cursor: last.position, views, notices })
  drafted(notices)
  return entries.length === PAGE
}

/** One record that this build cannot read must not silence all other tasks. */
const unreadable = (log: Log, taskId: TaskId) => (error: unknown): undefined => {
  if (!(error instanceof ZodError) && !(error instanceof SyntaxError)) throw error
  log.error({ task: taskId, reason: error.message }, 'a task could not be read; nobody is told of what just happened to it')
}
