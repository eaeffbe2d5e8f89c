import { type Backend, type ExecutionOutcome, TaskFailure, type Ticket, toFailure } from '@longshore/contracts'
import { ClaimLost, type Take } from '@longshore/ledger'

import { beginExecution, PlaceSilent, resumeLost } from './begin-execution.ts'
import { endRun, failRun, giveBack, handOver, pauseRun, resultSoFar, type RunOutcome, waitElsewhere } from './close-run.ts'
import { openRun, type Run, type RunTaskDeps } from './run.ts'
import { standTrial } from './suspects.ts'
import { type Stop, watchRun } from './watch-run.ts'

/** Executions that one worker loses of one take before the retry policy has its turn. */
const MAX_RESUMES = 3

/**
 * Works on a task by one of its tickets, to an end, a retry, a handover, or until another worker may own it.
 * @param lost aborts when the ticket's lock may be another's
 * @returns what becomes of the ticket
 */
export async function runTask(deps: RunTaskDeps, backend: Backend, ticket: Ticket, lost: AbortSignal): Promise<'done' | 'again'> {
  if (deps.handover.aborted) return 'again'
  const take = await takeTask(deps, backend, ticket)
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
    // A run that never got an execution says nothing about its place, and neither does one that became another's.
    else if (run.execution !== undefined && !run.isPlaceBlamed) deps.place.done(mode)
    return 'done'
  } catch (error) {
    endTimer({ outcome: 'lost' })
    if (error instanceof ClaimLost || run.lost.aborted) {
      noteLoss(run)
      return 'done'
    }
    // What Redis refused is not the task's doing; a defect of ours that meets it again and again is for `poison` to end.
    if (error === run.trouble) await deps.ledger.letGo(run.claim).catch(() => undefined)
    throw error
  } finally {
    run.letGo()
    run.mirror.close().catch(() => undefined) // not waited for: an append may hang
    deps.metrics.running.dec({ mode })
  }
}

/** A task whose execution lives on another engine goes to a worker there while one is alive, else it is taken as it is. */
async function takeTask({ ledger, engines, worker, onRequeued }: RunTaskDeps, backend: Backend, ticket: Ticket): Promise<Take> {
  const { isolation } = backend.capabilities
  const engineId = engines.ownId(backend.mode)
  const take = await ledger.take(ticket, worker, isolation, engineId === undefined ? undefined : { engineId })
  if (take.kind === 'taken' || take.reason !== 'elsewhere') return take
  if (!(await engines.isAlive(backend.mode, take.engineId))) return ledger.take(ticket, worker, isolation, { anywhere: true })
  await ledger.reroute(ticket.task_id, ticket.n, take.engineId)
  onRequeued()
  return take
}

function noteLoss(run: Run): void {
  run.deps.metrics.claimLost.inc()
  // This worker lives: whoever takes the task next is not to count a death. A claim that is another's refuses it.
  run.deps.ledger.letGo(run.claim).catch(() => undefined)
  run.log.warn({ reason: String(run.lost.reason ?? 'the claim is another\'s') }, 'let go of a task')
}

type First = { stop: Stop } | { outcome: ExecutionOutcome } | { thrown: unknown }

async function conduct(run: Run, isTakeover: boolean): Promise<RunOutcome> {
  const watch = watchRun(run)
  try {
    // What is over before it began is not begun: a cancel or a deadline that came while the task waited.
    const early = await Promise.race([watch.stopped, Promise.resolve(undefined)])
    if (early === undefined && isTakeover && isPoison(run)) return await endPoison(run)
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

const isPoison = ({ task, deps }: Run) => (task.crashes ?? 0) >= deps.poisonLimit

function endPoison(run: Run): Promise<RunOutcome> {
  const message = `${run.task.crashes} workers in a row died while they held this task, each within a minute of taking it; it is not given to another`
  return endRun(run, { state: 'failed', payload: { failure: new TaskFailure('poison', message).toFailure() } }, Promise.resolve())
}

/** The work until its end, over executions that are lost on the way: their sessions go on in others, in the same attempt (G7). */
async function carryOut(run: Run, isTakeover: boolean): Promise<ExecutionOutcome> {
  // Who asks nobody would do what the task must not do.
  if (run.task.permissions !== undefined && !run.backend.capabilities.ask) throw new TaskFailure('not_allowed', `permissions: what runs the profile ${run.task.profile} here asks nobody what it may do; leave them out, or choose a profile that asks`)
  await standTrial(run)
  run.execution = await beginExecution(run, isTakeover)
  run.deps.place.begun(run.task.mode)
  // What was said before it began is not left to the watch: a short task would be over.
  if ((run.task.messages_waiting ?? 0) > 0) await run.mailbox.deliver()
  if ((run.task.answers_waiting ?? 0) > 0) await run.inquiry.bring()
  for (let left = MAX_RESUMES; ; left--) {
    const outcome = await run.execution.outcome
    if (outcome.kind === 'completed' || outcome.failure.code !== 'backend_lost' || left === 0) return outcome
    const next = await resumeLost(run, outcome.failure)
    if (next === undefined) return outcome
    run.execution = next
  }
}

async function conclude(run: Run, first: First, work: Promise<ExecutionOutcome | undefined>): Promise<RunOutcome> {
  if ('thrown' in first) {
    if (first.thrown instanceof ClaimLost || run.lost.aborted) throw first.thrown
    if (run.trouble !== undefined) throw run.trouble
    if (first.thrown instanceof PlaceSilent) return giveBack(run, first.thrown)
    return failRun(run, { failure: toFailure(first.thrown) }, work)
  }
  if ('stop' in first) return stopRun(run, first.stop, work)
  await run.mirror.settled()
  const { outcome } = first
  if (outcome.kind === 'completed') return endRun(run, { state: 'completed', payload: { result: outcome.result } }, work)
  return failRun(run, outcome, work)
}

async function stopRun(run: Run, stop: Stop, work: Promise<ExecutionOutcome | undefined>): Promise<RunOutcome> {
  if (stop.kind === 'lost') return 'lost'
  if (stop.kind === 'handover') return handOver(run, work)
  if (stop.kind === 'pause') return pauseRun(run, work)
  if (stop.kind === 'wait') return waitElsewhere(run, work)
  const result = await resultSoFar(run)
  const said = result === undefined ? {} : { result }
  if (stop.kind === 'timeout') {
    return endRun(run, { state: 'timeout', payload: { limit: 'timeout_ms', limit_ms: run.task.timeout_ms, ...said } }, work)
  }
  if (stop.kind === 'budget' || stop.kind === 'workspace') return endRun(run, { state: 'failed', payload: { failure: new TaskFailure(stop.kind, stop.message).toFailure(), ...said } }, work)
  const { by, reason } = stop.request
  return endRun(run, { state: 'cancelled', payload: { by, ...(reason === undefined ? {} : { reason }), ...said } }, work)
}
