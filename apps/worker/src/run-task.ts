import { type Backend, type ExecutionOutcome, type Ticket, toFailure } from '@longshore/contracts'
import { ClaimLost } from '@longshore/ledger'

import { beginExecution, PlaceSilent } from './begin-execution.ts'
import { endRun, failRun, handOver, resultSoFar, type RunOutcome } from './close-run.ts'
import { openRun, type Run, type RunTaskDeps } from './run.ts'
import { type Stop, watchRun } from './watch-run.ts'

/**
 * Works on a task by one of its tickets, to an end, a retry, a handover, or until another worker may own it.
 * @param lost aborts when the ticket's lock may be another's
 * @returns what becomes of the ticket
 */
export async function runTask(deps: RunTaskDeps, backend: Backend, ticket: Ticket, lost: AbortSignal): Promise<'done' | 'again'> {
  if (deps.handover.aborted) return 'again'
  const take = await deps.ledger.take(ticket, deps.worker, backend.capabilities.isolation)
  if (take.kind === 'nothing') {
    deps.log.debug({ task_id: ticket.task_id, ticket: ticket.n, reason: take.reason }, 'a ticket with nothing to do')
    return 'done'
  }
  const run = openRun(deps, backend, take.task, lost)
  const { mode } = take.task
  run.log.info({ takeover: take.takeover }, 'took a task')
  deps.metrics.running.inc({ mode })
  const endTimer = deps.metrics.attemptSeconds.startTimer({ mode })
  try {
    const outcome = await conduct(run, take.takeover)
    endTimer({ outcome })
    if (outcome === 'lost') noteLoss(run)
    return 'done'
  } catch (error) {
    endTimer({ outcome: 'lost' })
    if (error instanceof PlaceSilent) {
      run.log.warn({ reason: error.message }, 'the place of a running execution does not answer; asking again')
      deps.onTrouble(mode)
      return 'again'
    }
    if (!(error instanceof ClaimLost) && !run.lost.aborted) throw error
    noteLoss(run)
    return 'done'
  } finally {
    run.letGo()
    deps.metrics.running.dec({ mode })
  }
}

function noteLoss(run: Run): void {
  run.deps.metrics.claimLost.inc()
  run.log.warn({ reason: String(run.lost.reason ?? 'the claim is another\'s') }, 'let go of a task')
}

type First = { stop: Stop } | { outcome: ExecutionOutcome } | { thrown: unknown }

async function conduct(run: Run, isTakeover: boolean): Promise<RunOutcome> {
  const watch = watchRun(run)
  try {
    // What is over before it began is not begun: a cancel or a deadline that came while the task waited.
    const early = await Promise.race([watch.stopped, Promise.resolve(undefined)])
    const work = early === undefined ? carryOut(run, isTakeover) : Promise.resolve(undefined)
    const first = await Promise.race<First>([
      watch.stopped.then((stop) => ({ stop })),
      work.then((outcome) => (outcome === undefined ? new Promise<never>(() => undefined) : { outcome }), (thrown: unknown) => ({ thrown })),
    ])
    return await conclude(run, first, work)
  } finally {
    watch.close()
  }
}

async function carryOut(run: Run, isTakeover: boolean): Promise<ExecutionOutcome> {
  run.execution = await beginExecution(run, isTakeover)
  return run.execution.outcome
}

async function conclude(run: Run, first: First, work: Promise<unknown>): Promise<RunOutcome> {
  if ('thrown' in first) {
    if (first.thrown instanceof ClaimLost || first.thrown instanceof PlaceSilent || run.lost.aborted) throw first.thrown
    if (run.trouble !== undefined) throw run.trouble
    return failRun(run, { failure: toFailure(first.thrown) }, work)
  }
  if ('stop' in first) return stopRun(run, first.stop, work)
  await run.mirror.settled()
  const { outcome } = first
  if (outcome.kind === 'completed') return endRun(run, { state: 'completed', payload: { result: outcome.result } }, work)
  return failRun(run, outcome, work)
}

async function stopRun(run: Run, stop: Stop, work: Promise<unknown>): Promise<RunOutcome> {
  if (stop.kind === 'lost') return 'lost'
  if (stop.kind === 'handover') return handOver(run, work)
  const result = await resultSoFar(run)
  const said = result === undefined ? {} : { result }
  if (stop.kind === 'timeout') {
    return endRun(run, { state: 'timeout', payload: { limit: 'timeout_ms', limit_ms: run.task.timeout_ms, ...said } }, work)
  }
  const { by, reason } = stop.request
  return endRun(run, { state: 'cancelled', payload: { by, ...(reason === undefined ? {} : { reason }), ...said } }, work)
}
