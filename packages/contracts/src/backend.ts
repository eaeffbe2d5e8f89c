import type { Choice } from './choices.ts'
import type { EventDraft, TaskResult } from './events.ts'
import type { Failure } from './failures.ts'
import type { Handle } from './handle.ts'
import type { TaskId } from './ids.ts'
import type { InputAnswer, InputKind } from './input.ts'
import type { Log } from './log.ts'
import type { Isolation, Mode } from './mode.ts'
import type { Task } from './task.ts'

/** What shared code may ask instead of a mode's name (G13). */
export interface BackendCapabilities {
  isolation: Isolation
  /** A dead worker's execution can be attached to. */
  adopt: boolean
  /** The agent's session outlives its execution: `resume` goes on with it in its workspace. */
  resume: boolean
  /** Messages reach the running agent: its executions have `tell`. */
  steer: boolean
  /** What an agent wants to know is handed to `RunContext.onAsks`, and its answer reaches it. */
  ask: boolean
  /** A checkpoint loses nothing but the step that was under way: pausing is worth it. */
  pause: boolean
  usage: boolean
  files: boolean
}

/** What a task may ask of one profile of a backend. */
export interface ServedProfile { capabilities: BackendCapabilities; choices: readonly Choice[] }

/** Whether the backend can take tasks now; `reason` is for people and says what to do. */
export type BackendHealth = { ok: true } | { ok: false; reason: string }

/** What the mirror of an execution may write; changes of state are the worker's. */
export type ExecutionEvent = Extract<EventDraft, { type: 'task.output' | 'task.tool' | 'task.file_changed' | 'task.usage' }> & {
  /** What a tool put out, whole, where the payload has only the beginning of it: for the task's full output, not for the log. */
  whole?: string
}

/** What a worker lends to a run. */
export interface RunContext {
  /** The claim under which this run writes; goes into labels, so that leftovers can be told apart. */
  claim: number
  /** Unix ms by the local clock. The execution's own watchdog must end it a little later than this (G9). It moves with the time that the task waits for a person. */
  readonly deadlineAt: number
  /** Aborts when the worker lets go (claim lost, shutdown): stop mirroring, touch nothing. Not a cancel. */
  signal: AbortSignal
  log: Log
  /** Stores the address. Called, and awaited, before anything is started, and again when it becomes more precise. */
  onHandle(handle: Handle): Promise<void>
  /**
   * Appends to the task's log and stores the source position in the same step (G5). Rejects when the claim is lost.
   * `position` is the driver's own: whatever `attach` needs in order to go on without a repeat.
   */
  emit(events: readonly ExecutionEvent[], position?: string): Promise<void>
  /**
   * All that the agent waits for now, in the order in which it asked; told again after each change and each (re)connect, the empty list, too.
   * Never called where `capabilities.ask` is false. Rejects only when the claim is lost.
   */
  onAsks(asks: readonly AgentAsk[]): Promise<void>
  /** Rejects when another worker owns the task. To be awaited before each destructive call (G4). */
  confirmClaim(): Promise<void>
}

/** How an execution ended by itself. Cancel and deadline are the worker's words, not the backend's. */
export type ExecutionOutcome =
  | { kind: 'completed'; result: TaskResult }
  | { kind: 'failed'; failure: Failure; result?: TaskResult }

/** What an agent is told while it works. `id`: of the mailbox entry, never used twice. */
export interface AgentMessage { id: string; text: string }

/** A permission or a question that an agent waits for. */
export interface AgentAsk {
  /** The agent's own name for it: the same for as long as it waits, also for an adopter. */
  id: string
  kind: InputKind
  question: string
  /** Of a question; a permission's are `PERMISSION_CHOICES`. */
  choices: readonly string[]
  freeText: boolean
  multiple: boolean
  /** Of a permission: the tool, and what it is to be used on, unshortened: policies decide by it. It may hold secrets and is stored nowhere. */
  tool?: string
  subjects?: readonly string[]
  /** `gone`: nobody waits for it any more. `kept`: it goes to the agent with others that are still to come; who forgets them gives it again. Throws TaskFailure when the place does not answer, ClaimLost when another owns the task. */
  answer(answer: Pick<InputAnswer, 'choices' | 'message'>): Promise<'answered' | 'kept' | 'gone'>
}

/** One running attempt. */
export interface Execution {
  readonly handle: Handle
  /** Never rejects except when `signal` aborted or the claim was lost. */
  readonly outcome: Promise<ExecutionOutcome>
  /** What it has said so far, for an end that is not its own (cancel, timeout). */
  result(): Promise<TaskResult>
  /**
   * Gives the agent a text as its newest user message at its next step. One at a time, in their order; the same `id` again, also by an adopter,
   * when it is not known whether it arrived: it takes effect once. `over`: the execution has ended, or is about to, without it.
   * Throws TaskFailure when the place does not answer, ClaimLost when another owns the task. Exactly where `capabilities.steer`.
   */
  readonly tell?: (message: AgentMessage) => Promise<'delivered' | 'over'>
}

/** Something of this deployment that a place holds: running or stopped, its task known here or not (G10). */
export interface Found {
  taskId: TaskId
  /** Unix ms by the place's clock: when it was made. */
  createdAt: number
  /** What `dispose` needs to remove it. */
  handle: Handle
}

/** What runs tasks in one mode. `backend.testsuite.ts` is its law. */
export interface Backend {
  readonly mode: Mode
  readonly capabilities: BackendCapabilities
  /** What it runs, by name, where that is more than the profile `opencode` as it is. */
  readonly profiles?: ReadonlyMap<string, ServedProfile>
  probe(): Promise<BackendHealth>
  /** Which engine, host or server its executions live on: `engine_id` of its handles. undefined: it does not matter. @throws TaskFailure when the place does not answer */
  engineId(): Promise<string | undefined>
  /** Starts the task in a fresh workspace or the one of an earlier attempt. Throws TaskFailure. */
  start(task: Task, run: RunContext): Promise<Execution>
  /** Goes on with what an earlier owner started; undefined when it is gone. Throws TaskFailure when the place does not answer. */
  attach(task: Task, handle: Handle, run: RunContext): Promise<Execution | undefined>
  /**
   * Goes on with the agent's session after its execution is gone (G7): ends what may be left of that, starts another in the same
   * workspace, and gives the agent `note` as its newest message. Mirrors from `task.position`: nothing is said twice.
   * What is emitted before the next execution's address is stored is what the earlier one still had to say.
   * undefined: there is no session to go on with. Throws TaskFailure. Only where `capabilities.resume`.
   */
  resume(task: Task, handle: Handle, run: RunContext, note: string): Promise<Execution | undefined>
  /**
   * Ends the execution as `dispose` does, and keeps what `resume` needs: session and workspace (G12).
   * Idempotent. Throws when something may be left running.
   */
  checkpoint(handle: Handle, run: Pick<RunContext, 'log' | 'confirmClaim'>): Promise<void>
  /**
   * Everything of this deployment at this place, also what no handle names (G10). Only what carries this deployment's mark.
   * Throws TaskFailure when the place does not answer.
   */
  list(): Promise<Found[]>
  /**
   * Ends the execution and leaves nothing of it: container, session, process, socket. The workspace stays.
   * Idempotent; also right after a half-done start. Throws when something may be left (it is then tried again).
   */
  dispose(handle: Handle, run: Pick<RunContext, 'log' | 'confirmClaim'>): Promise<void>
  /** Frees what the backend itself holds (connections, networks); executions stay. */
  close(): Promise<void>
}
