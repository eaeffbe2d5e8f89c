import type { Backend, Execution, Handle, Log, Mode, RunContext, Task } from '@longshore/contracts'
import { type Claim, ClaimLost, type Doorbell, type Ledger } from '@longshore/ledger'

import { type EventMirror, mirrorEvents } from './event-mirror.ts'
import type { RedisClock } from './redis-clock.ts'
import type { WorkerMetrics } from './worker-metrics.ts'

/** What running tasks needs besides a backend. */
export interface RunTaskDeps {
  ledger: Ledger
  doorbell: Pick<Doorbell, 'listen'>
  clock: RedisClock
  metrics: WorkerMetrics
  log: Log
  /** Name of this worker in events. */
  worker: string
  retryDelayMs: number
  /** 0 to 1. */
  chance: () => number
  /** Aborts when the worker is to stop: running tasks go back into the queue. */
  handover: AbortSignal
  /** A ticket is pending: it can be dispatched now. */
  onRequeued: () => void
  /** A backend failed in a way that its probe may explain. */
  onTrouble: (mode: Mode) => void
}

/** One take of a task by this worker. */
export interface Run {
  readonly deps: RunTaskDeps
  readonly backend: Backend
  readonly claim: Claim
  readonly log: Log
  readonly context: RunContext
  readonly mirror: EventMirror
  /** Stops mirroring without stopping the execution. */
  letGo(): void
  /** Aborts when another worker may own the task: touch nothing. */
  readonly lost: AbortSignal
  /** As of the last change that this run made. */
  task: Task
  /** Where the execution is, as far as it is known. */
  handle: Handle | undefined
  execution: Execution | undefined
  /** What the ledger answered instead of doing what was asked: nothing may be concluded about the task. */
  trouble: unknown
}

// One for all: an error with a stack of its own per run would cost more than the rest of letting go.
const LET_GO = new Error('aborted: the worker let go of the execution')

/** @param ticketLost aborts when the ticket's lock may be another's */
export function openRun(deps: RunTaskDeps, backend: Backend, task: Task, ticketLost: AbortSignal): Run {
  const claim: Claim = { taskId: task.id, claim: task.claim }
  const log = deps.log.child({ task_id: task.id, mode: task.mode, attempt: task.attempt, claim: task.claim })
  const [lost, letGo] = [new AbortController(), new AbortController()]
  const lose = (reason: unknown) => {
    lost.abort(reason)
    letGo.abort(reason)
  }
  if (ticketLost.aborted) lose(ticketLost.reason)
  else ticketLost.addEventListener('abort', () => lose(ticketLost.reason), { once: true })
  const noticing = (error: unknown) => {
    if (error instanceof ClaimLost) lose(error)
    else run.trouble ??= error
  }
  const owned = async <T>(call: Promise<T>): Promise<T> => {
    try {
      return await call
    } catch (error) {
      noticing(error)
      throw error
    }
  }
  const mirror = mirrorEvents(deps.ledger, claim, noticing)
  const remainingMs = (task.deadline_at ?? deps.clock.now()) - deps.clock.now()
  const run: Run = {
    deps, backend, claim, log, mirror, lost: lost.signal, task, handle: task.handle, execution: undefined, trouble: undefined,
    letGo: () => letGo.abort(LET_GO),
    context: {
      claim: task.claim,
      deadlineAt: Date.now() + remainingMs,
      signal: letGo.signal,
      log,
      onHandle: async (handle) => {
        await owned(deps.ledger.saveHandle(claim, handle))
        run.handle = handle
      },
      emit: (events, position) => mirror.emit(events, position),
      confirmClaim: async () => {
        // G4: a lost ticket may not have reached Redis' answer yet; either one is enough to touch nothing.
        if (lost.signal.aborted) throw new ClaimLost(String(lost.signal.reason))
        await owned(deps.ledger.confirm(claim))
      },
    },
  }
  return run
}
