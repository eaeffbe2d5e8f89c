import { overBudget, type Request } from '@longshore/contracts'
import type { Bell, Requests } from '@longshore/ledger'

import type { Run } from './run.ts'
import { watchSize } from './watch-size.ts'

/** What ends a run from outside, before the execution ends by itself. */
export type Stop =
  | { kind: 'cancel'; request: Request }
  | { kind: 'pause' }
  /** It waits for a person for longer than a worker's slot is kept for it. */
  | { kind: 'wait' }
  | { kind: 'timeout' }
  /** The task, or its agent for today, has used what it may; `message` says what. */
  | { kind: 'budget'; message: string }
  /** Its workspace holds more than it may. */
  | { kind: 'workspace'; message: string }
  | { kind: 'handover' }
  /** Another worker may own the task. */
  | { kind: 'lost' }

/** The doorbell can be missed; cancel must take less than 2 s all the same. */
const POLL_MS = 1_000
/** The bell also rings for the task's own events: at most this often is Redis asked. */
const LEAST_GAP_MS = 100
/** Most runs that are over sooner than this never cost a subscription. */
const QUIET_MS = 200

/** Redis' time is an estimate here, and timers come early by a hair: no task is to end before its limit. */
const CLOCK_ERROR_MS = 10

const CLOSED = 'no longer watched'

export interface RunWatch {
  readonly stopped: Promise<Stop>
  close(): void
}

/**
 * Waits for whatever comes first: a request to cancel or pause, the deadline (G9), the worker's own end, the loss of the task.
 * Messages that wait meanwhile are handed to `run.mailbox`.
 */
export function watchRun(run: Run): RunWatch {
  const { promise, resolve } = Promise.withResolvers<Stop>()
  const closing = new AbortController()
  const { task, lost, deps } = run
  const stopWith = (stop: Stop) => {
    closing.abort(CLOSED)
    resolve(stop)
  }
  let timer: NodeJS.Timeout | undefined
  let armedFor: number | undefined
  /** The deadline stands still while a person is asked, and is another one afterwards. */
  const arm = (deadlineAt: number | undefined) => {
    if (armedFor === deadlineAt && timer !== undefined) return
    clearTimeout(timer)
    armedFor = deadlineAt
    run.moveDeadline(deadlineAt)
    if (deadlineAt === undefined) return
    const remainingMs = deadlineAt - deps.clock.now()
    // A timer of Node holds 24.8 days; a task one.
    timer = setTimeout(() => stopWith({ kind: 'timeout' }), Math.min(Math.max(0, remainingMs) + CLOCK_ERROR_MS, 2 ** 31 - 1))
  }
  const obey = ({ cancel, pause, messages, answers, waitingAt }: Requests, over?: string) => {
    if (cancel !== undefined) stopWith({ kind: 'cancel', request: cancel })
    else if (pause !== undefined) stopWith({ kind: 'pause' })
    else if (over !== undefined) stopWith({ kind: 'budget', message: over })
    else if (waitingAt !== undefined && waitsLong(run, waitingAt) && mayLeave(run)) stopWith({ kind: 'wait' })
    else {
      // Not waited for: an agent's server may be slow to answer, and a cancel must not be.
      if (messages > 0) void run.mailbox.deliver()
      if (answers > 0) void run.inquiry.bring()
    }
  }
  const { cancel_requested, pause_requested } = task
  obey({ ...(cancel_requested === undefined ? {} : { cancel: cancel_requested }), ...(pause_requested === undefined ? {} : { pause: pause_requested }), messages: 0, answers: 0, spent: { tokens: 0, cost_micros: 0 } })
  if ((task.deadline_at ?? Infinity) <= deps.clock.now()) stopWith({ kind: 'timeout' })
  if (!closing.signal.aborted) arm(task.deadline_at)
  closing.signal.addEventListener('abort', () => clearTimeout(timer))
  onAbort(lost, closing.signal, () => stopWith({ kind: 'lost' }))
  onAbort(deps.handover, closing.signal, () => stopWith({ kind: 'handover' }))
  if (!closing.signal.aborted) {
    void followRequests(run, closing.signal, obey, arm)
    void watchSize(run, closing.signal, (message) => stopWith({ kind: 'workspace', message }))
  }
  return { stopped: promise, close: () => closing.abort(CLOSED) }
}

/** For longer than the grace, or than the execution lasts: its own watchdog has the deadline of its start, and what it ends now would only begin to run out of time again. */
function waitsLong({ deps, task }: Run, since: number): boolean {
  const now = deps.clock.now()
  return now - since > deps.inputs.graceMs || now > (task.deadline_at ?? Infinity)
}

/** Whether stopping where it stands loses nothing. */
function mayLeave({ backend, execution }: Run): boolean {
  return execution !== undefined && backend.capabilities.pause
}

function onAbort(signal: AbortSignal, until: AbortSignal, act: () => void): void {
  if (until.aborted) return
  if (signal.aborted) act()
  else signal.addEventListener('abort', act, { once: true, signal: until })
}

async function followRequests(run: Run, until: AbortSignal, obey: (requests: Requests, over?: string) => void, arm: (deadlineAt: number | undefined) => void): Promise<void> {
  const { ledger, doorbell } = run.deps
  const isOver = () => until.aborted
  let bell: Bell | undefined
  try {
    await unhurried(QUIET_MS, until)
    if (isOver()) return
    bell = await doorbell.listen(run.task.id)
    while (!isOver()) {
      const requests = await ledger.requests(run.claim)
      obey(requests, await overspent(run, requests))
      if (!isOver()) arm(requests.deadlineAt)
      await unhurried(LEAST_GAP_MS, until)
      await bell.next(POLL_MS, until)
    }
  } catch (error) {
    if (!isOver()) {
      run.log.warn({ err: error }, 'what is asked of the task could not be read; trying again')
      setTimeout(() => void followRequests(run, until, obey, arm), POLL_MS)
    }
  } finally {
    await bell?.close().catch(() => undefined)
  }
}

/** Usage events ring the bell, so this is asked as soon as something is spent. */
async function overspent({ task, deps }: Run, { spent }: Requests): Promise<string | undefined> {
  const own = overBudget(task.budget, spent)
  if (own !== undefined) return `the task has used ${own}`
  if (deps.agentsDay === undefined) return undefined
  const agents = overBudget(deps.agentsDay, await deps.ledger.spentToday(task.agent_id))
  return agents === undefined ? undefined : `${task.agent_id} has used ${agents} for today (UTC)`
}

function unhurried(ms: number, until: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (until.aborted) {
      resolve()
      return
    }
    const timer = setTimeout(done, ms)
    until.addEventListener('abort', done, { once: true })
    function done(): void {
      clearTimeout(timer)
      until.removeEventListener('abort', done)
      resolve()
    }
  })
}
