import { type Backend, type Handle, isOver, type Log, type Mode, type TaskId, toFailure } from '@longshore/contracts'
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

const BATCH = 200
/** Whoever ended the task is disposing of it right now; two at once would only be in each other's way. */
const OWNER_FIRST_MS = 15_000
const DISPOSE_MS = 60_000

/**
 * Cleans up after ends whose worker was interrupted (G9): any worker that reaches the place, also after a restart.
 * @returns the debts that were struck
 */
export async function collectDebts(options: CollectDebtsOptions): Promise<TaskId[]> {
  const struck: TaskId[] = []
  for (const taskId of await options.ledger.debts(BATCH)) {
    if (!(await pay(options, taskId))) continue
    await options.ledger.strikeDebt(taskId)
    struck.push(taskId)
  }
  return struck
}

async function pay({ ledger, backendOf, reaches, clock, log }: CollectDebtsOptions, taskId: TaskId): Promise<boolean> {
  const task = await ledger.get(taskId)
  if (task?.handle === undefined) return true
  const backend = backendOf(task.mode)
  if (!isOver(task.state) || backend === undefined || !reaches(task.handle)) return false
  if (clock.now() - (task.ended_at ?? 0) < OWNER_FIRST_MS) return false
  try {
    // A task that is over has no owner, so there is no claim to ask for.
    const run = { log: log.child({ task_id: taskId }), confirmClaim: () => Promise.resolve() }
    await within(DISPOSE_MS, backend.dispose(task.handle, run), 'cleaning up')
    log.info({ task_id: taskId }, 'cleaned up after a task that ended')
    return true
  } catch (error) {
    log.warn({ task_id: taskId, reason: toFailure(error).message }, 'something of a task that ended is still left; trying again')
    return false
  }
}
