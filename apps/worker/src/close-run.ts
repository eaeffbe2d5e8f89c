import { setTimeout as sleep } from 'node:timers/promises'

import { type ExecutionOutcome, type Failure, type FailureCode, type Handle, isOver, type TaskResult, toFailure } from '@longshore/contracts'
import { ClaimLost, type Ending, type Ledger } from '@longshore/ledger'

import { afterFailure } from './after-failure.ts'
import type { PlaceSilent } from './begin-execution.ts'
import { isOtherEngine, isSameStorage } from './here.ts'
import type { Run } from './run.ts'
import { within } from './within.ts'

/** A backend that is asked for the words so far, while it hangs, may not hold up a cancel. */
const RESULT_MS = 500
/** A start that was told to stop gets this long to come back, so that nothing appears after the cleaning up. */
const SETTLE_MS = 5_000
const DISPOSE_MS = 30_000
/** Tries to clear a failed attempt while the claim is still ours; then its own watchdog ends it, and the last cleaning up of its task removes it. */
const CLEAR_TRIES = 3

const INSIST_MS = 15_000
const INSIST_EVERY_MS = 1_000

/** Causes that say something about the mode's place, not about the task. */
const BLAMES_PLACE: ReadonlySet<FailureCode> = new Set(['backend_unavailable', 'backend_lost', 'bad_credentials', 'image_missing', 'image_pull', 'storage_unavailable'])

/** How a run ended, for logs and metrics. */
export type RunOutcome = 'completed' | 'failed' | 'timeout' | 'cancelled' | 'retry' | 'handover' | 'paused' | 'waiting' | 'resume' | 'answer' | 'lost'

/**
 * The one ending (G3), then the cleaning up (G9). In this order, because only the ledger knows who won: an execution is
 * never ended for an ending that did not happen, people see the end at once, and the debt that the ledger records in the
 * same step brings back whoever was interrupted.
 */
export async function endRun(run: Run, ending: Ending, work: Promise<unknown>): Promise<RunOutcome> {
  const { deps, claim, task } = run
  const { won, state, durationMs } = await deps.ledger.end(claim, ending)
  if (!isOver(state)) return 'lost'
  run.letGo()
  if (won) {
    deps.metrics.ended.inc({ state, mode: task.mode })
    run.log.info({ state, duration_ms: durationMs, code: ending.state === 'failed' ? ending.payload.failure.code : undefined }, 'task ended')
  }
  const hasSettled = await settle(work)
  const isClear = await clear(run, unowned)
  // Whoever did not make the end may have cleared another execution than the one that the debt is about.
  // Not waited for: a debt that stays is paid by the rounds (collect-debts.ts).
  if (won && isClear && hasSettled) deps.ledger.strikeDebt(task.id).catch((error: unknown) => run.log.debug({ err: error }, 'the debt stays for now'))
  return won ? ending.state : 'lost'
}

/** Another attempt later, or the end of the task. */
export async function failRun(run: Run, thrown: { failure: Failure; result?: TaskResult }, work: Promise<unknown>): Promise<RunOutcome> {
  const { deps, claim, task } = run
  const { failure, result } = thrown
  const isPlaces = BLAMES_PLACE.has(failure.code)
  const isCounted = !isPlaces || !deps.place.isOnTrial(task.mode)
  if (isPlaces) run.blamePlace(failure)
  // The deadline moves with the time that the task waits for a person.
  const { cancel: asked, deadlineAt } = await deps.ledger.requests(claim)
  if (asked !== undefined) return endRun(run, { state: 'cancelled', payload: { by: asked.by, ...optional('reason', asked.reason), ...optional('result', result) } }, work)
  const next = afterFailure({ failure, task: { ...task, deadline_at: deadlineAt }, isCounted, now: deps.clock.now(), retryDelayMs: deps.retryDelayMs, chance: deps.chance() })
  if (next.kind === 'end') return endRun(run, { state: 'failed', payload: { failure, ...optional('result', result) } }, work)
  run.letGo()
  const hasSettled = await settle(work)
  let isClear = false
  for (let i = 1; i <= CLEAR_TRIES && !(isClear = await clear(run, run.context.confirmClaim)); i++) await sleep(500)
  // Never two at work in one workspace: what may be left is ended by whoever takes the task next, before it starts another.
  if (!(isClear && hasSettled) && run.handle !== undefined) await deps.ledger.saveHandle(claim, { ...run.handle, discard: true })
  run.log.warn({ code: failure.code, reason: failure.message, delay_ms: next.delayMs, counted: isCounted, clear: isClear && hasSettled }, 'the attempt failed; the task is tried again')
  return requeue(run, { reason: 'retry', failure, delayMs: next.delayMs, ...(isCounted ? {} : { uncounted: true }) }, { isClear, hasSettled })
}

/** G12: the task goes back into the queue, with all that is needed to go on with it. */
export async function handOver(run: Run, work: Work): Promise<RunOutcome> {
  const { deps, task, handle } = run
  return stepBack(run, work, 'handover', { mayLive: () => handle !== undefined && deps.hasSuccessor(task.mode, handle), mustEnd: false, mark: {} })
}

/** The agent stops where it stands, its slot is free, and session and workspace are kept for whoever resumes the task. */
export function pauseRun(run: Run, work: Work): Promise<RunOutcome> {
  return stepBack(run, work, 'resume', { mayLive: () => false, mustEnd: true, mark: { paused: true } })
}

/** Nobody has answered for a while: the slot is free for others, and session and workspace are kept for whoever goes on with the answer. */
export function waitElsewhere(run: Run, work: Work): Promise<RunOutcome> {
  return stepBack(run, work, 'answer', { mayLive: () => false, mustEnd: true, mark: {} })
}

/** The execution's own end, once it comes. */
type Work = Promise<ExecutionOutcome | undefined>

/** `mayLive`: whether somebody is there who adopts what stays alive. `mustEnd`: nobody will look at it for a long time. `mark`: what whoever goes on is to know. */
interface Leaving { mayLive: () => Promise<boolean> | false; mustEnd: boolean; mark: Pick<Handle, 'paused'> }

async function stepBack(run: Run, work: Work, reason: 'handover' | 'resume' | 'answer', how: Leaving): Promise<RunOutcome> {
  run.letGo()
  const hasSettled = await settle(work)
  await run.mirror.settled()
  // It may have ended by itself in this very moment: what is finished is not begun again.
  const outcome = hasSettled ? await work.catch(() => undefined) : undefined
  if (outcome?.kind === 'completed') return endRun(run, { state: 'completed', payload: { result: outcome.result } }, work)
  const isClear = await leave(run, how)
  return requeue(run, { reason }, { isClear, hasSettled })
}

/** The place does not answer: whoever takes the task next finds it as it is. */
export function giveBack(run: Run, silence: PlaceSilent): Promise<RunOutcome> {
  run.log.warn({ reason: silence.message }, 'the place of a running execution does not answer; the task is given back')
  run.blamePlace(silence.failure)
  run.letGo()
  return requeue(run, { reason: 'handover' }, { isClear: false, hasSettled: true })
}

/**
 * What is alive stays alive where it may, for a worker that is there to adopt it; else it is ended so that its session can be gone on with,
 * where the backend knows how. Whether nothing is left.
 */
async function leave(run: Run, { mayLive, mustEnd, mark }: Leaving): Promise<boolean> {
  const { deps, backend, handle, claim } = run
  if (handle === undefined) return true
  const mayBeAlive = run.execution !== undefined || !run.isStarting
  if (mayBeAlive && backend.capabilities.adopt && (await mayLive())) return false
  // First the word, then the deed: whoever finds the handle after a death in between ends what is left before it goes on.
  await deps.ledger.saveHandle(claim, { ...handle, ...mark, checkpoint: true })
  if (isOtherEngine(handle, deps)) {
    run.log.warn({ engineId: handle.engine_id }, 'the execution is on an engine that is out of reach; it is not ended here')
    return false
  }
  const { confirmClaim } = run.context
  const keeps = backend.capabilities.resume
  const end = () => (keeps ? quietly(run, backend.checkpoint(handle, { log: run.log, confirmClaim })) : clear(run, confirmClaim))
  const isEnded = await (mustEnd ? insist(run, end) : end())
  // A task that is paused or waits for a person has no next owner who would end what is left: without the mark there is one, who tries again.
  if (mustEnd && !isEnded) await deps.ledger.saveHandle(claim, handle)
  return isEnded && !keeps
}

/** For as long as a place that restarts takes, or until somebody cancels. Whether it worked. */
async function insist(run: Run, end: () => Promise<boolean>): Promise<boolean> {
  const until = performance.now() + INSIST_MS
  for (;;) {
    if (await end()) return true
    if (performance.now() > until || (await run.deps.ledger.requests(run.claim)).cancel !== undefined) break
    await sleep(INSIST_EVERY_MS)
  }
  run.blamePlace({ code: 'backend_unavailable', message: 'the place of a task that is to stop for a while does not end its execution' })
  return false
}

/** Gives the task back; a cancel that came meanwhile is its end instead (G3), and its debt is ours if nothing is left (G9). */
async function requeue(run: Run, why: Parameters<Ledger['requeue']>[1], { isClear, hasSettled }: { isClear: boolean; hasSettled: boolean }): Promise<RunOutcome> {
  const { deps, claim, log } = run
  const { id, state, mode } = await deps.ledger.requeue(claim, why)
  if (isOver(state)) {
    deps.metrics.ended.inc({ state, mode })
    log.info({ state }, 'task ended: that was asked for while it was given back')
    // A start that is still under way may leave something yet: then the debt stays.
    if ((isClear || (await clear(run, unowned))) && hasSettled) await deps.ledger.strikeDebt(id)
    return 'cancelled'
  }
  if (state === 'paused') {
    log.info({}, 'the task is paused')
    return state
  }
  if (state === 'input_required') {
    log.info({}, 'the task waits for a person, without a worker')
    return 'waiting'
  }
  log.info({ reason: why.reason }, 'the task is in the queue again')
  deps.onRequeued()
  return why.reason
}

/** What the execution has said so far, or nothing when it does not answer. */
export async function resultSoFar(run: Run): Promise<TaskResult | undefined> {
  if (run.execution === undefined) return undefined
  return within(RESULT_MS, run.execution.result(), 'the result so far').catch(() => undefined)
}

/** Whether the work came back in time; how it ended does not matter any more. */
async function settle(work: Promise<unknown>): Promise<boolean> {
  return within(SETTLE_MS, work.then(() => true, () => true), 'stopping').catch(() => false)
}

/** Disposes of the execution. Whether nothing is left. */
async function clear(run: Run, confirmClaim: () => Promise<void>): Promise<boolean> {
  if (run.handle === undefined) return true
  // Whoever cannot see the place must not say that nothing is left there.
  if (isOtherEngine(run.handle, run.deps) || !isSameStorage(run.handle, run.deps)) return false
  return quietly(run, run.backend.dispose(run.handle, { log: run.log, confirmClaim }))
}

/** Whether it worked; only a lost claim is more than a line in the log. */
async function quietly(run: Run, cleaning: Promise<void>): Promise<boolean> {
  try {
    await within(DISPOSE_MS, cleaning, 'cleaning up')
    return true
  } catch (error) {
    if (error instanceof ClaimLost) throw error
    run.log.warn({ reason: toFailure(error).message }, 'something of the execution may be left')
    return false
  }
}

/** Nobody can own a task that is over, so there is no claim to ask for. */
const unowned = () => Promise.resolve()

function optional<K extends string, V>(key: K, value: V | undefined): Partial<Record<K, V>> {
  return value === undefined ? {} : ({ [key]: value } as Record<K, V>)
}
