import { setTimeout as sleep } from 'node:timers/promises'

import { DEFAULT_PROFILE, type Handle, type Mode } from '@longshore/contracts'
import { type Engine, type Heartbeat, HEARTBEAT_TTL_MS, type Heartbeats, servedBy } from '@longshore/queue'

/** What this worker knows of the others, from their heartbeats. */
export interface Successors {
  /** Whether a worker that does not drain reached this engine just now: executions there are left to it. */
  isAlive(mode: Mode, engineId: string): Promise<boolean>
  /** Whether one that takes tasks now can adopt the execution (G12). Meant for after this worker said that it drains. */
  hasSuccessor(mode: Mode, handle: Handle): Promise<boolean>
}

export interface SuccessorsOptions {
  heartbeats: Pick<Heartbeats, 'list'>
  /** All that are known, as the reconciler sees them, too. */
  engines: () => Promise<Engine[]>
  /** This worker's name. */
  self: string
  /** Monotonic ms at which the others could first know that this worker drains. */
  announcedAt: () => number
}

/** The signals of a stack that stops as a whole reach its workers within this, and their words reach Redis. */
const TOGETHER_MS = 2_000

/** Who takes over from this worker. */
export function findSuccessors({ heartbeats, engines, self, announcedAt }: SuccessorsOptions): Successors {
  const others = async () => (await heartbeats.list()).filter(({ name }) => name !== self)
  return {
    isAlive: async (mode, engineId) => {
      if (!(await others()).some((worker) => isOfEngine(worker, mode, engineId))) return false
      return (await engines()).some((engine) => engine.mode === mode && engine.engineId === engineId && engine.silentMs <= HEARTBEAT_TTL_MS)
    },
    hasSuccessor: async (mode, handle) => {
      const isThere = async () => (await others()).some((worker) => canAdopt(worker, mode, handle))
      if (!(await isThere())) return false
      // Another that is told to stop in this very moment must not count: both would leave their tasks to each other.
      const waitMs = announcedAt() + TOGETHER_MS - performance.now()
      if (waitMs <= 0) return true
      await sleep(waitMs)
      return isThere()
    },
  }
}

/**
 * Whether a worker of that engine is there and does not drain. Its mode may be off for a moment: an engine that does not
 * answer may hold the execution all the same, and two agents in one workspace are worse than a wait.
 */
export function isOfEngine({ draining, modes }: Heartbeat, mode: Mode, engineId: string): boolean {
  return !draining && modes.some((report) => report.mode === mode && report.engine_id === engineId)
}

/** Whether a worker would adopt the execution if it got its ticket now. A handle that names no engine or storage is in reach of all. */
export function canAdopt({ draining, modes, storage_id }: Heartbeat, mode: Mode, handle: Handle): boolean {
  if (draining || (handle.storage_id !== undefined && handle.storage_id !== storage_id)) return false
  const profile = String(handle.data['profile'] ?? DEFAULT_PROFILE)
  return modes.some((report) => report.mode === mode && report.ok && servedBy(report, profile)?.capabilities.adopt === true && (handle.engine_id === undefined || report.engine_id === handle.engine_id))
}
