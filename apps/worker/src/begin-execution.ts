import { setTimeout as sleep } from 'node:timers/promises'

import { type Execution, type Failure, type FailureCode, type Handle, isWorthRetrying, type RunContext, TaskFailure, toFailure } from '@longshore/contracts'
import { ClaimLost } from '@longshore/ledger'

import { isOtherEngine, isSameStorage } from './here.ts'
import { recall } from './inquiry.ts'
import type { Run } from './run.ts'

/** The place where the execution may still live does not answer: given back, nothing is decided, no attempt is burnt. */
export class PlaceSilent extends Error {
  override readonly name = 'PlaceSilent'
  readonly failure: Failure

  constructor(cause: unknown) {
    const failure = toFailure(cause)
    super(failure.message, { cause })
    this.failure = failure
  }
}

/** What a place says that cannot do its part for now; everything else is about the task. */
const SILENT: ReadonlySet<FailureCode> = new Set(['backend_unavailable', 'storage_unavailable', 'image_pull'])
/** A place is asked again for so long, the time after which its heartbeat is given up, too; an engine that starts again is back sooner. */
const PATIENCE_MS = 15_000
const ASK_AGAIN_MS = 1_000

const INTERRUPTED = 'You were interrupted in the middle of your task; that was not your doing.'
const ASKED = 'You waited for an answer, and were stopped meanwhile.'
const PAUSED = 'Your task was paused by the people you work for, and goes on now.'
const LOOK = 'Your workspace is as you left it. A command that was running was cut off and may have done a part of its work. Look where things stand, then go on with the task.'

/**
 * Gets the task's execution going (G7): adopted where it is alive; else its session is resumed where it is kept; else, after an
 * orderly handover, started again; else started in a new attempt. A fresh task is simply started.
 * @throws TaskFailure, ClaimLost, PlaceSilent
 */
export async function beginExecution(run: Run, isTakeover: boolean): Promise<Execution> {
  const { handle } = run
  if (handle?.discard === true) await discard(run, handle)
  if (!isTakeover) return start(run)
  if (run.handle === undefined || handle === undefined) {
    await sayResumed(run, 'its last worker was lost before anything was started')
    // Unless that was about to give back an attempt that had failed: what its agent was told waits again.
    if (handle !== undefined) await forgetSession(run)
    return start(run)
  }
  const found = await takeUp(run, handle)
  if (found !== undefined) return found
  await (handle.checkpoint === true && isSameStorage(handle, run.deps) ? startAgain(run, handle) : startOver(run, handle))
  return start(run)
}

/**
 * Goes on with a session whose execution was lost while this worker watched; undefined where that is not possible.
 * @throws TaskFailure, ClaimLost, PlaceSilent
 */
export async function resumeLost(run: Run, failure: Failure): Promise<Execution | undefined> {
  run.log.warn({ code: failure.code, reason: failure.message }, 'the execution was lost')
  await run.inquiry.forget()
  return patiently(run, () => resume(run, `its execution was lost (${failure.message})`))
}

function start(run: Run): Promise<Execution> {
  run.isStarting = true
  run.mirror.release()
  return run.backend.start(run.task, run.context)
}

async function takeUp(run: Run, handle: Handle): Promise<Execution | undefined> {
  const { deps } = run
  const until = performance.now() + PATIENCE_MS
  const isElsewhere = isOtherEngine(handle, deps)
  const mayBeAlive = !isElsewhere && handle.checkpoint === undefined && isSameStorage(handle, deps)
  const found = mayBeAlive ? await patiently(run, () => adopt(run, handle), until).catch((error: unknown) => hangs(run, error)) : undefined
  if (found !== undefined && found !== 'hangs') return found
  const resumed = await patiently(run, () => resume(run, lossOf(handle, isElsewhere, found)), until)
  if (resumed !== undefined || isElsewhere) return resumed
  // Nothing of it may be left beside what is started next.
  await patiently(run, () => endFirst(run, run.handle ?? handle), until)
  return undefined
}

/** Ends what an earlier attempt may have left, before anything is started beside it. Out of reach it cannot be: whoever gave the task to us knows that nobody is there. */
async function discard(run: Run, handle: Handle): Promise<void> {
  if (isOtherEngine(handle, run.deps)) run.log.warn({ engineId: handle.engine_id }, 'what an earlier attempt left is on an engine that is out of reach; it is not ended here')
  else await patiently(run, () => endFirst(run, handle))
  run.handle = undefined
}

/** A place that does not end it is silent: nothing is decided. */
function endFirst({ backend, context }: Run, handle: Handle): Promise<void> {
  return backend.dispose(handle, context).catch((error: unknown) => Promise.reject(error instanceof ClaimLost ? error : new PlaceSilent(error)))
}

/** An execution that stays silent while its place is fine can still be ended and its session gone on with; a place that is silent, too, says so then. */
function hangs({ backend }: Run, error: unknown): 'hangs' {
  if (error instanceof PlaceSilent && backend.capabilities.resume) return 'hangs'
  throw error
}

function lossOf(handle: Handle, isElsewhere: boolean, found: 'hangs' | undefined): string {
  if (handle.paused === true) return 'it was paused'
  if (handle.checkpoint === true) return 'its last worker handed it over'
  if (isElsewhere) return `no worker reaches the engine ${handle.engine_id ?? ''} any more`
  return found === 'hangs' ? 'its worker was lost, and its execution did not answer' : 'its worker and its execution were lost'
}

async function adopt(run: Run, handle: Handle): Promise<Execution | undefined> {
  const { backend, context, deps, task } = run
  if (!backend.capabilities.adopt) return undefined
  run.mirror.hold()
  const execution = await backend.attach(task, handle, context).catch((error: unknown) => Promise.reject(error instanceof TaskFailure && isWorthRetrying(error.code) ? new PlaceSilent(error) : error))
  if (execution !== undefined) {
    await context.confirmClaim()
    await deps.ledger.append(run.claim, [{ type: 'task.adopted', payload: { attempt: task.attempt, claim: task.claim, worker: deps.worker } }])
    run.log.info({}, 'adopted a running execution')
  }
  run.mirror.release()
  return execution
}

async function resume(run: Run, why: string): Promise<Execution | undefined> {
  const { backend, context, deps, handle } = run
  if (!backend.capabilities.resume || handle === undefined || !isSameStorage(handle, deps)) return undefined
  await run.mirror.settled()
  await lookAgain(run)
  await context.confirmClaim()
  // What the earlier execution still had to say goes in, and is waited for before that one is removed.
  run.mirror.release()
  const { text, told } = await recall(run)
  const beginning = handle.paused === true ? PAUSED : handle.checkpoint === true && text !== '' ? ASKED : INTERRUPTED
  let isTold = false
  const holding: RunContext = {
    ...context,
    get deadlineAt() { return context.deadlineAt },
    // The next one has an address before it starts: from then on what is said waits for the event that tells of it.
    onHandle: (named) => {
      if (!isTold) run.mirror.hold()
      return context.onHandle(named)
    },
  }
  const execution = await backend.resume(run.task, handle, holding, [`${beginning} ${LOOK}`, ...(text === '' ? [] : [text])].join('\n\n'))
  if (execution !== undefined) {
    await sayResumed(run, `${why}; the agent goes on with its session in its workspace`)
    for (const { input_id } of told) await deps.ledger.settleInput(run.claim, input_id, 'told')
  }
  isTold = true
  run.mirror.release()
  return execution
}

/** Asks a silent place again for a while: an engine that starts again costs seconds, not an attempt. */
async function patiently<T>(run: Run, ask: () => Promise<T>, until = performance.now() + PATIENCE_MS): Promise<T> {
  for (;;) {
    try {
      return await ask()
    } catch (error) {
      const silence = silenceOf(error)
      if (silence === undefined) throw error
      if (performance.now() > until) throw silence
      run.log.info({ reason: silence.message }, 'the place of an execution does not answer; asking again')
    }
    await sleep(ASK_AGAIN_MS, undefined, { signal: run.context.signal })
  }
}

function silenceOf(error: unknown): PlaceSilent | undefined {
  if (error instanceof PlaceSilent) return error
  return error instanceof TaskFailure && SILENT.has(error.code) ? new PlaceSilent(error) : undefined
}

async function sayResumed({ deps, task, claim, log }: Run, detail: string): Promise<void> {
  await deps.ledger.append(claim, [{ type: 'task.resumed', payload: { attempt: task.attempt, claim: task.claim, worker: deps.worker, detail } }])
  log.info({ detail }, 'went on with a task')
}

/** In its workspace and the same attempt, but with a fresh session. */
async function startAgain(run: Run, handle: Handle): Promise<void> {
  await sayResumed(run, `${lossOf(handle, false, undefined)}; started again in its workspace`)
  await forgetSession(run)
}

/** A fresh session has heard nothing. */
async function forgetSession(run: Run): Promise<void> {
  await run.deps.ledger.retell(run.claim)
  await lookAgain(run)
}

/** The record has moved on since the take: its position, and what waits for the agent. */
async function lookAgain(run: Run): Promise<void> {
  run.task = (await run.deps.ledger.get(run.claim.taskId)) ?? run.task
}

async function startOver(run: Run, handle: Handle): Promise<void> {
  const { deps, task, claim, backend } = run
  const { code, message } = whatWasLost(handle, task.attempt, run)
  if (task.attempt >= task.max_attempts) throw new TaskFailure(code, `${message}; no attempt is left`)
  run.task = await deps.ledger.restart(claim, deps.worker, backend.capabilities.isolation, { code, message })
  run.handle = undefined
}

function whatWasLost(handle: Handle, attempt: number, { deps }: Run): Failure {
  if (!isSameStorage(handle, deps)) {
    return { code: 'backend_lost', message: `the work of attempt ${attempt} stayed on the storage ${handle.storage_id ?? ''}, which this worker does not have` }
  }
  if (isOtherEngine(handle, deps)) {
    return { code: 'backend_lost', message: `the execution of attempt ${attempt} stayed on the engine ${handle.engine_id ?? ''}, which no worker reaches; its workspace is kept` }
  }
  return { code: 'worker_lost', message: 'the worker was lost, and nothing of its execution could be found again; its workspace is kept' }
}
