import { type RunContext, TaskFailure } from '@longshore/contracts'
import type Docker from 'dockerode'
import { asEngineFailure, engineStatus, lacksNetwork } from './engine.ts'
import type { TaskNetwork } from './task-network.ts'

/** The worker on whose word a container starts. */
export type Starter = Pick<RunContext, 'signal' | 'confirmClaim'>

/**
 * Starts what was made. Between the two a worker may be suspended for long: one that has let go meanwhile starts nothing (G4), since its
 * successor may have looked already, and nobody would know of this container.
 */
export async function startMade(container: Docker.Container, { signal, confirmClaim }: Starter): Promise<void> {
  signal.throwIfAborted()
  await confirmClaim()
  await container.start().catch((error: unknown) => {
    if (engineStatus(error) !== 304) throw refusalOf(error, signal) // 304: another worker was faster
  })
}

/** What the engine's refusal to create or start means; a worker that has let go hears only of that. */
export function refusalOf(error: unknown, signal: AbortSignal): TaskFailure {
  signal.throwIfAborted()
  return asEngineFailure(error, 'start the container')
}

/**
 * Removes what was made and never ran; the claim in its name is its maker's. Not by force: the engine itself refuses when an adopter has
 * started it. What stays all the same goes with the last cleaning up of its task.
 */
export async function removeMade(container: Docker.Container): Promise<void> {
  try {
    const { State } = await container.inspect()
    if (State.Status === 'created') await container.remove({ v: true })
  } catch {
    // gone, started, or the engine is away
  }
}

/** A worker that leaves takes the idle network with it, which may be the very one on which another is about to start: made once more, it stays. */
export async function onNetwork<T>(open: () => Promise<TaskNetwork>, act: (network: TaskNetwork) => Promise<T>): Promise<T> {
  try {
    return await act(await open())
  } catch (error) {
    if (!lacksNetwork(error)) throw error
    return act(await open())
  }
}

/** Whether the engine answered, and refused. */
export function isRefusal(error: unknown): boolean {
  return error instanceof TaskFailure && engineStatus(error.cause) !== undefined
}
