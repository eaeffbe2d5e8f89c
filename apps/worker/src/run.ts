import { type Backend, type Budget, type Execution, type Failure, Handle, type Log, type Mode, type RunContext, type Task } from '@longshore/contracts'
import type { Storage } from '@longshore/backends'
import { type Claim, ClaimLost, type Doorbell, type Ledger } from '@longshore/ledger'

import { type EventMirror, mirrorEvents } from './event-mirror.ts'
import type { Here } from './here.ts'
import { type Inquiry, type InputRules, openInquiry } from './inquiry.ts'
import { type Mailbox, openMailbox } from './mailbox.ts'
import { createOutputRecorder } from './output-recorder.ts'
import type { RedisClock } from './redis-clock.ts'
import type { Suspects } from './suspects.ts'
import type { Outgrown } from './watch-size.ts'
import type { WorkerMetrics } from './worker-metrics.ts'

/** How a mode's place does, as its tasks find out: what a circuit breaker lives on. */
export interface PlaceWatch {
  /** An execution was started, adopted or resumed. */
  begun(mode: Mode): void
  /** A run that had an execution is over, and its place was not the cause. */
  done(mode: Mode): void
  failed(mode: Mode, failure: Failure): void
  /** Too many failures in a row: what fails now for the same cause burns no attempt. */
  isOnTrial(mode: Mode): boolean
}

/** What running tasks needs besides a backend. */
export interface RunTaskDeps extends Here {
  ledger: Ledger
  doorbell: Pick<Doorbell, 'listen'>
  clock: RedisClock
  metrics: WorkerMetrics
  log: Log
  /** Name of this worker in events. */
  worker: string
  retryDelayMs: number
  /** Where full outputs are written, and how much of one. Without it they are not. */
  output?: { storage: Storage; maxBytes: number } | undefined
  /** 0 to 1. */
  chance: () => number
  /** Owners in a row that may die soon after they took a task; then it ends as failed (poison). */
  poisonLimit: number
  suspects: Suspects
  inputs: InputRules
  /** Default: workspaces may grow without a limit. */
  outgrown?: Outgrown | undefined
  /** Between two looks at the size of a workspace, at least. Default 5 s. */
  sizeEveryMs?: number | undefined
  /** What each agent may use in a day (UTC). */
  agentsDay?: Budget | undefined
  engines: Here['engines'] & {
    /** Whether another worker that is alive and not draining reaches this engine; one that is silent for now is waited for. */
    isAlive(mode: Mode, engineId: string): Promise<boolean>
  }
  /** Whether another worker takes over what this one leaves running. Asked when `handover` has aborted. */
  hasSuccessor(mode: Mode, handle: Handle): Promise<boolean>
  place: PlaceWatch
  /** Aborts when the worker is to stop: running tasks go back into the queue. Another one after a drain that was undone. */
  readonly handover: AbortSignal
  /** A ticket is pending: it can be dispatched now. */
  onRequeued: () => void
}

/** One take of a task by this worker. */
export interface Run {
  readonly deps: RunTaskDeps
  readonly backend: Backend
  readonly claim: Claim
  readonly log: Log
  readonly context: RunContext
  readonly mirror: EventMirror
  readonly mailbox: Mailbox
  readonly inquiry: Inquiry
  /** Stops mirroring without stopping the execution. */
  letGo(): void
  /** The deadline is another one now, in Redis ms; undefined while it stands still. What is started from now on has its own watchdog set to it. */
  moveDeadline(at: number | undefined): void
  /** Counts a failure of the place, once per run. */
  blamePlace(failure: Failure): void
  readonly isPlaceBlamed: boolean
  /** Aborts when another worker may own the task: touch nothing. */
  readonly lost: AbortSignal
  /** As of the last change that this run made. */
  task: Task
  /** Where the execution is, as far as it is known. */
  handle: Handle | undefined
  execution: Execution | undefined
  /** The backend was asked for a fresh start: until there is an execution, nothing is lost with what the handle names. */
  isStarting: boolean
  /** What the ledger answered instead of doing what was asked: nothing may be concluded about the task. */
  trouble: unknown
}

/** That there is nothing to attach to is the word of an owner who let go; what a backend stores is alive, or about to be. */
const Alive = Handle.omit({ checkpoint: true, paused: true, discard: true })

// One for all: an error with a stack of its own per run would cost more than the rest of letting go.
const LET_GO = new Error('aborted: the worker let go of the execution')

/** How long a task may still run, while its deadline moves with the time that it waits. */
function keepDeadline({ deadline_at }: Task, clock: RedisClock): { move(at: number | undefined): void; leftMs(): number } {
  let at = deadline_at ?? clock.now()
  let heldAt: number | undefined
  return {
    move: (next) => {
      heldAt = next === undefined ? (heldAt ?? clock.now()) : undefined
      at = next ?? at
    },
    leftMs: () => at - (heldAt ?? clock.now()),
  }
}

/** @param ticketLost aborts when the ticket's lock may be another's */
export function openRun(deps: RunTaskDeps, place: Backend, task: Task, ticketLost: AbortSignal): Run {
  const backend = { ...place, capabilities: place.profiles?.get(task.profile)?.capabilities ?? place.capabilities } // what runs this task, not what its mode runs by default
  const claim: Claim = { taskId: task.id, claim: task.claim }
  const log = deps.log.child({ task_id: task.id, mode: task.mode, profile: task.profile, attempt: task.attempt, claim: task.claim })
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
  const mirror = mirrorEvents(deps.ledger, claim, noticing, deps.output && createOutputRecorder({ ...deps.output, task, attempt: () => run.task.attempt, log }))
  letGo.signal.addEventListener('abort', () => mirror.drop(), { once: true })
  const deadline = keepDeadline(task, deps.clock)
  let isPlaceBlamed = false
  const run: Run = {
    get mailbox() { return mailbox },
    get inquiry() { return inquiry },
    deps, backend, claim, log, mirror, lost: lost.signal, task, handle: task.handle, execution: undefined, isStarting: false, trouble: undefined,
    letGo: () => letGo.abort(LET_GO),
    moveDeadline: deadline.move,
    get isPlaceBlamed() { return isPlaceBlamed },
    blamePlace: (failure) => {
      if (!isPlaceBlamed) deps.place.failed(task.mode, failure)
      isPlaceBlamed = true
    },
    context: {
      claim: task.claim,
      get deadlineAt() { return Date.now() + deadline.leftMs() },
      signal: letGo.signal,
      log,
      onHandle: async (named) => {
        const handle = Alive.parse(named)
        await owned(deps.ledger.saveHandle(claim, handle))
        run.handle = handle
      },
      emit: (events, position) => mirror.emit(events, position),
      onAsks: (asks) => inquiry.hear(asks),
      confirmClaim: async () => {
        // G4: a lost ticket may not have reached Redis' answer yet; either one is enough to touch nothing.
        if (lost.signal.aborted) throw new ClaimLost(String(lost.signal.reason))
        await owned(deps.ledger.confirm(claim))
      },
    },
  }
  const mailbox = openMailbox(run)
  const inquiry = openInquiry(run)
  return run
}
