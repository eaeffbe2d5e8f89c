import type { Task } from '@longshore/contracts'
import type { Bell } from '@longshore/ledger'

import type { Run } from './run.ts'

/** What ends a run from outside, before the execution ends by itself. */
export type Stop =
  | { kind: 'cancel'; request: NonNullable<Task['cancel_requested']> }
  | { kind: 'timeout' }
  | { kind: 'handover' }
  /** Another worker may own the task. */
  | { kind: 'lost' }

/** The doorbell can be missed; cancel must take less than 2 s all the same. */
const POLL_MS = 1_000
/** The bell also rings for the task's own events: at most this often is Redis asked. */
const LEAST_GAP_MS = 100
/** Most runs that are over sooner than this never cost a subscription. */
const QUIET_MS = 200

const CLOSED = 'no longer watched'

export interface RunWatch {
  readonly stopped: Promise<Stop>
  close(): void
}

/** Waits for whatever comes first: a request to cancel, the deadline (G9), the worker's own end, the loss of the task. */
export function watchRun(run: Run): RunWatch {
  const { promise, resolve } = Promise.withResolvers<Stop>()
  const closing = new AbortController()
  const { task, lost, deps } = run
  const stopWith = (stop: Stop) => {
    closing.abort(CLOSED)
    resolve(stop)
  }
  const remainingMs = (task.deadline_at ?? Infinity) - deps.clock.now()
  if (task.cancel_requested !== undefined) stopWith({ kind: 'cancel', request: task.cancel_requested })
  else if (remainingMs <= 0) stopWith({ kind: 'timeout' })
  // A timer of Node holds 24.8 days; a task one.
  const timer = setTimeout(() => stopWith({ kind: 'timeout' }), Math.min(Math.max(0, remainingMs), 2 ** 31 - 1))
  closing.signal.addEventListener('abort', () => clearTimeout(timer))
  onAbort(lost, closing.signal, () => stopWith({ kind: 'lost' }))
  onAbort(deps.handover, closing.signal, () => stopWith({ kind: 'handover' }))
  if (!closing.signal.aborted) void followCancel(run, closing.signal, (request) => stopWith({ kind: 'cancel', request }))
  return { stopped: promise, close: () => closing.abort(CLOSED) }
}

function onAbort(signal: AbortSignal, until: AbortSignal, act: () => void): void {
  if (until.aborted) return
  if (signal.aborted) act()
  else signal.addEventListener('abort', act, { once: true, signal: until })
}

async function followCancel(run: Run, until: AbortSignal, act: (request: NonNullable<Task['cancel_requested']>) => void): Promise<void> {
  const { ledger, doorbell } = run.deps
  const isOver = () => until.aborted
  let bell: Bell | undefined
  try {
    await pause(QUIET_MS, until)
    if (isOver()) return
    bell = await doorbell.listen(run.task.id)
    while (!isOver()) {
      const request = await ledger.cancelRequested(run.claim)
      if (request !== undefined) act(request)
      await pause(LEAST_GAP_MS, until)
      await bell.next(POLL_MS, until)
    }
  } catch (error) {
    if (!isOver()) {
      run.log.warn({ err: error }, 'requests to cancel could not be read; trying again')
      setTimeout(() => void followCancel(run, until, act), POLL_MS)
    }
  } finally {
    await bell?.close().catch(() => undefined)
  }
}

function pause(ms: number, until: AbortSignal): Promise<void> {
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
