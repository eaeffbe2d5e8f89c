import { type Backend, type Handle, isOver, type Log, MAX_TIMEOUT_MS, type Mode, type TaskId, toFailure } from '@longshore/contracts'
import type { Ledger } from '@longshore/ledger'

import type { RedisClock } from './redis-clock.ts'
import { within } from './within.ts'

export interface CollectDebtsOptions {
  ledger: Pick<Ledger, 'debts' | 'get' | 'strikeDebt'>
  backendOf: (mode: Mode) => Backend | undefined
  /** Whether this worker's backends see the place that a handle names. */
  reaches: (handle: Handle) => boolean
  clock: RedisClock
  log: Log
}

/** Debts looked at per round; those that wait for their next try cost nothing but this list. */
const BATCH = 1_000
/** Whoever ended the task is disposing of it right now; two at once would only be in each other's way. */
const OWNER_FIRST_MS = 15_000
const DISPOSE_MS = 60_000
/** A place that is gone for long is asked less and less often, and complained about once per reason. */
const FIRST_PAUSE_MS = 5_000
const LONGEST_PAUSE_MS = 10 * 60_000

/** No execution outlives the longest deadline by more: its own watchdog ends it. What lies at a place that comes back later is swept. */
const FORGOTTEN_MS = MAX_TIMEOUT_MS + 60 * 60_000

interface Trouble { reason: string; pauseMs: number; nextAt: number }

/**
 * Cleans up after ends whose worker was interrupted (G9): any worker that reaches the place, also after a restart.
 * @returns a round; it resolves to the debts that were struck
 */
export function createDebtCollector(options: CollectDebtsOptions): () => Promise<TaskId[]> {
  const { ledger, clock } = options
  const troubles = new Map<TaskId, Trouble>()
  return async () => {
    const struck: TaskId[] = []
    const debts = await ledger.debts(BATCH)
    for (const taskId of troubles.keys()) if (!debts.includes(taskId)) troubles.delete(taskId)
    for (const taskId of debts) {
      if ((troubles.get(taskId)?.nextAt ?? 0) > clock.now() || !(await pay(options, troubles, taskId))) continue
      await ledger.strikeDebt(taskId)
      struck.push(taskId)
    }
    return struck
  }
}

async function pay({ ledger, backendOf, reaches, clock, log }: CollectDebtsOptions, troubles: Map<TaskId, Trouble>, taskId: TaskId): Promise<boolean> {
  try {
    const task = await ledger.get(taskId)
    if (task?.handle === undefined) return true
    const backend = backendOf(task.mode)
    if (!isOver(task.state) || backend === undefined) return false
    const sinceMs = clock.now() - (task.ended_at ?? 0)
    if (!reaches(task.handle)) {
      if (sinceMs > FORGOTTEN_MS) log.warn({ task_id: taskId, engineId: task.handle.engine_id }, 'what a task that ended may have left is at a place that no worker has reached for a day; it is not looked for any more')
      return sinceMs > FORGOTTEN_MS
    }
    if (sinceMs < OWNER_FIRST_MS) return false
    // A task that is over has no owner, so there is no claim to ask for.
    const run = { log: log.child({ task_id: taskId }), confirmClaim: () => Promise.resolve() }
    await within(DISPOSE_MS, backend.dispose(task.handle, run), 'cleaning up')
    log.info({ task_id: taskId }, 'cleaned up after a task that ended')
    return true
  } catch (error) {
    const next = worse(troubles.get(taskId), toFailure(error).message, clock.now())
    if (troubles.get(taskId)?.reason !== next.reason) log.warn({ task_id: taskId, reason: next.reason }, 'something of a task that ended is still left; it is tried again, less and less often')
    troubles.set(taskId, next)
    return false
  }
}

function worse(last: Trouble | undefined, reason: string, now: number): Trouble {
  const pauseMs = last === undefined ? FIRST_PAUSE_MS : Math.min(last.pauseMs * 2, LONGEST_PAUSE_MS)
  return { reason, pauseMs, nextAt: now + pauseMs }
}
