import { type Execution, isWorthRetrying, TaskFailure } from '@longshore/contracts'

import type { Run } from './run.ts'

/** The place where the execution may still live does not answer: asked again later, nothing is decided. */
export class PlaceSilent extends Error {
  override readonly name = 'PlaceSilent'
}

/**
 * Gets the task's execution going (G7): adopted where it is alive, gone on with where its last owner handed it over or
 * never began, else started in a new attempt. A fresh task is simply started.
 * @throws TaskFailure, ClaimLost, PlaceSilent
 */
export async function beginExecution(run: Run, isTakeover: boolean): Promise<Execution> {
  const { backend, context } = run
  if (!isTakeover) return backend.start(run.task, context)
  const adopted = await adopt(run)
  if (adopted !== undefined) return adopted
  if (run.handle !== undefined) await backend.dispose(run.handle, context)
  await (run.handle === undefined || (await wasHandedOver(run)) ? goOn(run) : startOver(run))
  return backend.start(run.task, context)
}

async function adopt(run: Run): Promise<Execution | undefined> {
  const { backend, context, handle, deps, task } = run
  if (handle === undefined || !backend.capabilities.adopt) return undefined
  try {
    const execution = await backend.attach(task, handle, context)
    if (execution === undefined) return undefined
    await context.confirmClaim()
    await deps.ledger.append(run.claim, [{ type: 'task.adopted', payload: { attempt: task.attempt, claim: task.claim, worker: deps.worker } }])
    run.log.info({}, 'adopted a running execution')
    return execution
  } catch (error) {
    if (error instanceof TaskFailure && isWorthRetrying(error.code)) throw new PlaceSilent(error.message, { cause: error })
    throw error
  }
}

/** The same attempt again: an orderly handover, or a worker that died before it began anything, is not held against the task. */
async function goOn(run: Run): Promise<void> {
  const { deps, task, claim, handle } = run
  const detail = handle === undefined ? 'the last worker was lost before anything was started' : 'its last worker handed it over; started again in its workspace'
  await deps.ledger.append(claim, [{ type: 'task.resumed', payload: { attempt: task.attempt, claim: task.claim, worker: deps.worker, detail } }])
}

async function startOver(run: Run): Promise<void> {
  const { deps, task, claim, backend } = run
  if (task.attempt >= task.max_attempts) throw new TaskFailure('worker_lost', 'the worker was lost, nothing of the execution could be found again, and no attempt is left')
  run.task = await deps.ledger.restart(claim, deps.worker, backend.capabilities.isolation)
  run.handle = undefined
}

/** A requeue is the last thing an orderly owner writes; after a crash something else is. */
async function wasHandedOver({ deps, task }: Run): Promise<boolean> {
  const page = await deps.ledger.read(task.id, { seq: Math.max(0, task.seq - 1), id: '' }, 1)
  return page?.kind === 'events' && page.events[0]?.type === 'task.queued'
}
