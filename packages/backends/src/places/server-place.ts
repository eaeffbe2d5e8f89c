import type { Admitted, BackendHealth, Failure, Handle, Isolation, Log, PermissionPolicy, Task, TaskId } from '@longshore/contracts'
import type { ServerAddress } from '../drivers/opencode/session-api.ts'
import type { Workspace } from '../workspace/storage.ts'
import type { Owner } from '../workspace/prepare.ts'

/** What a handle holds; a place writes its own keys and reads nothing else. */
export type HandleData = Handle['data']

/** What a place needs in order to start something for a task. */
export interface Launch {
  task: Task
  claim: number
  /** Unix ms: after this and a slack the place itself ends what it started (G9). */
  deadlineAt: number
  /** What the agent may do without asking; the strictest counts. */
  permissions: readonly PermissionPolicy[]
  workspace: Workspace
  log: Log
  /** Aborts when nobody wants it any more: nothing is started after that. */
  signal: AbortSignal
  /** Rejects when another worker owns the task: see `RunContext`. */
  confirmClaim(): Promise<void>
}

/** Something that a place holds of a task, whether or not anybody's handle names it (G10). */
export interface Sighting {
  taskId: TaskId
  /** Unix ms by the place's clock, rather too early than too late: what is older than the ledger is not swept. */
  createdAt: number
  /** Enough for `remove`. */
  data: HandleData
}

/** Longer than the worker's own deadline, so that the worker's word comes first. */
export const WATCHDOG_SLACK_MS = 15_000

/** Whole seconds for `timeout(1)`, at least one. */
export function watchdogSeconds(deadlineAt: number, now: number): number {
  return Math.max(1, Math.ceil((deadlineAt + WATCHDOG_SLACK_MS - now) / 1000))
}

/** Where an OpenCode server runs. */
export interface ServerPlace {
  readonly isolation: Isolation
  /** Each execution has a server of its own that `remove` ends with everything in it; else its session is removed from a shared one. */
  readonly ownServer: boolean
  /** As whom the agent runs, when that is not the worker. */
  readonly owner?: Owner
  probe(): Promise<BackendHealth>
  /** Which engine or host it is, once known: a handle goes back to a worker that reaches it. */
  engineId(): Promise<string | undefined>
  /** The address of what `start` will start; nothing is started. */
  reserve(launch: Launch): HandleData
  /** Starts it under that address and returns what is known of it now. @throws TaskFailure */
  start(launch: Launch, reserved: HandleData): Promise<HandleData>
  /** How it is reached; undefined when it is gone. @throws TaskFailure when that cannot be known */
  address(data: HandleData, workspace: Workspace): Promise<ServerAddress | undefined>
  /** Which execution it is, for the egress proxy; undefined: it is none that is let out through it. */
  admitted?(data: HandleData): Admitted | undefined
  /** Why it is gone; undefined while it is alive or when nobody can tell. */
  autopsy(data: HandleData): Promise<Failure | undefined>
  /** Ends it and leaves nothing; idempotent, also for an address at which nothing was started. @throws when something may be left */
  remove(data: HandleData, log: Log): Promise<void>
  /** All that is there with the mark of this deployment and this storage, running or not. @throws TaskFailure when that cannot be known */
  list(): Promise<Sighting[]>
  close(): Promise<void>
}
