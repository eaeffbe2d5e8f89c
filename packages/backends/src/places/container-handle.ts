import { type Found, type Handle, type RunContext, TaskFailure } from '@longshore/contracts'
import { z } from 'zod'
import type { Storage } from '../workspace/storage.ts'
import type { Containers } from './containers.ts'

/** Handles of backends that talk to a container without a server in it. */
export interface HandlePlace { containers: Containers; storage: Storage }

const Data = z.object({ container: z.string() })

export function containerOf({ data }: Pick<Handle, 'data'>): string {
  return Data.parse(data).container
}

export function handleIn({ storage }: HandlePlace, engineId: string, data: Handle['data']): Handle {
  return { v: 1, mode: 'docker', storage_id: storage.id, engine_id: engineId, data }
}

/** Every container of this deployment, of whatever profile. */
export async function listHandles(place: HandlePlace): Promise<Found[]> {
  const engineId = await place.containers.engineId()
  return (await place.containers.list()).map(({ taskId, createdAt, name }) => ({ taskId, createdAt, handle: handleIn(place, engineId, { container: name, task: taskId }) }))
}

export async function removeContainer({ containers }: HandlePlace, handle: Handle, run: Pick<RunContext, 'confirmClaim'>): Promise<void> {
  await run.confirmClaim()
  await containers.remove(containerOf(handle))
}

/** Whether there is something to attach to; what was made and never started, because its worker died in between, is started. @throws TaskFailure */
export async function isThere({ containers, storage }: HandlePlace, handle: Handle, run: RunContext): Promise<boolean> {
  if (handle.storage_id !== storage.id) throw new TaskFailure('backend_unavailable', 'the workspace is on another storage than the one this worker has')
  const state = await containers.state(containerOf(handle))
  if (state === undefined) return false
  if (state.isRunning) await containers.network() // an adopter looks after its way out
  return !state.isNew || containers.startNew(state.id, run)
}
