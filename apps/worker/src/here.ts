import type { Handle, Mode } from '@longshore/contracts'

/** What a worker reaches: its storage, and one engine, host or server per mode. */
export interface Here {
  storageId: string | undefined
  engines: {
    /** undefined: not known yet, or it does not matter. */
    ownId(mode: Mode): string | undefined
  }
}

/** Whether this worker sees the execution that a handle names: only then may it say that nothing of it is left. */
export function isHere(handle: Handle, here: Here): boolean {
  return isSameStorage(handle, here) && (handle.engine_id === undefined || handle.engine_id === here.engines.ownId(handle.mode))
}

/** Whether the workspace is on this worker's storage: a task resumes only within it. */
export function isSameStorage(handle: Handle, { storageId }: Pick<Here, 'storageId'>): boolean {
  return handle.storage_id === undefined || storageId === undefined || handle.storage_id === storageId
}

/** Whether the execution is known to be on an engine that this worker does not reach. */
export function isOtherEngine(handle: Handle, { engines }: Pick<Here, 'engines'>): boolean {
  const own = engines.ownId(handle.mode)
  return handle.engine_id !== undefined && own !== undefined && handle.engine_id !== own
}
