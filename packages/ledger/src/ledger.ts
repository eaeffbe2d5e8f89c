import type { AgentId, AnyEvent, Archived, Budget, Cursor, EventDraft, EventPayload, Failure, GoneReason, Handle, InputAnswer, InputId, Isolation, Kept, Mail, Mode, NewTask, OutputPart, PendingTicket, Request, Spent, StoredInput, Task, TaskId, TaskInput, Ticket, TimeLimit, UsageLine, Watcher } from '@longshore/contracts'
import type { AuditEntry } from './audit.ts'

/** What a writer holds: the task and the claim under which it was taken. Redis rejects a stale one (G4). */
export interface Claim { taskId: TaskId; claim: number }

/** The task has another owner, or is over: whoever gets this writes nothing more and touches nothing. */
export class ClaimLost extends Error {
  override readonly name = 'ClaimLost'
}

/** A task without its prompt, which may be 256 KiB: what lists are made of. */
export type TaskSummary = Omit<Task, 'prompt'>

/** Which tasks are looked for: those that are all of this. Times are Redis ms, `From` included, `Before` not. */
export interface TaskFilter {
  agentId?: string | undefined
  states?: readonly Task['state'][] | undefined
  mode?: Mode | undefined
  profile?: string | undefined
  createdFrom?: number | undefined
  createdBefore?: number | undefined
  endedFrom?: number | undefined
  endedBefore?: number | undefined
  /** The beginning of the title, as `foldTitle` compares. */
  titlePrefix?: string | undefined
}

export type Submitted = { task: Task; isNew: boolean; ticket?: Ticket }

/** What became of asking for a task by its ticket. */
export type Take =
  /** `takeover`: it was running under an owner that is gone; `task.handle` says where. */
  | { kind: 'taken'; task: Task; takeover: boolean }
  /** Not the current ticket, over (its time in the queue may have ended just now), or paused: nothing to do. */
  | { kind: 'nothing'; reason: 'unknown' | 'over' | 'stale_ticket' | 'not_runnable' }
  /** Its execution lives on an engine that the worker does not reach: nothing changed. */
  | { kind: 'nothing'; reason: 'elsewhere'; engineId: string }

/** Which executions a worker can take over. */
export interface Reach {
  /** The engine it reaches. Executions whose handle names none are everywhere. */
  engineId?: string | undefined
  /** Takes a task also from an engine that it does not reach: nobody there is alive. */
  anywhere?: boolean | undefined
}

/** Which deployment this Redis holds, and since when (Redis ms): what is older was made under another ledger (G10). */
export interface Identity { id: string; createdAt: number }

/** A task of which the blob store has something. */
export interface KeptTask { id: TaskId; agentId: string; endedAt: number; kept: Kept; /** Its conversation is, and that is still there. */ isArchived?: true }

/** A task whose conversation is archived. */
export interface ArchivedTask { id: TaskId; agentId: string; archived: Archived }

/** The end of a task as its owner or a control asks for it. */
export type Ending =
  | { state: 'completed'; payload: Omit<EventPayload<'task.completed'>, 'attempt' | 'duration_ms'> }
  | { state: 'failed'; payload: Omit<EventPayload<'task.failed'>, 'attempt' | 'duration_ms'> }
  | { state: 'timeout'; payload: Omit<EventPayload<'task.timeout'>, 'attempt' | 'duration_ms'> }
  | { state: 'cancelled'; payload: Omit<EventPayload<'task.cancelled'>, 'attempt' | 'duration_ms'> }

/** G3: one ending. `won` says whether this call made it; `state` is the one that stands. `durationMs` since the first start, if it won. */
export interface Ended { won: boolean; state: Task['state']; durationMs?: number }

/** What became of a control or a message. `already_over`: the end wins over every wish, and nothing was changed. */
export interface ControlAnswer<O extends string> { outcome: O | 'already_over'; before: Task['state']; task: Task }

/** What is asked of the owner of a task, as it stands now. */
export interface Requests {
  cancel?: Request
  pause?: Request
  messages: number
  /** Answers that the agent does not have yet. */
  answers: number
  /** Redis ms; absent while it waits for a person. */
  deadlineAt?: number
  /** Since when it waits for a person, Redis ms. */
  waitingAt?: number
  spent: Spent
}

export type Page =
  | { kind: 'events'; events: AnyEvent[]; cursor: Cursor; total: number }
  /** The cursor fits no longer: trimmed, or another history (G6). Go on from `earliest`. */
  | { kind: 'cursor_reset'; earliest: Cursor; total: number }

export interface FleetEntry { position: string; taskId: TaskId; seq: number; type: string }

/** Of one agent; what is not there is not limited. */
export interface SubmitLimits {
  /** What its tasks may use in a day (UTC). */
  day?: Budget | undefined
  /** Of files sent along with its tasks that are not over. */
  sentBytes?: number
  /** How many named workspaces it may have; those that were not used for `idleMs` do not count. */
  workspaces?: { most: number; idleMs: number }
}

export type FleetPage =
  /** `event` is absent when its task's log was trimmed. */
  | { kind: 'events'; entries: (FleetEntry & { event?: AnyEvent })[]; cursor: string; isMore: boolean }
  /** The position fits no longer: trimmed, or another history (G6). Go on from `earliest`. */
  | { kind: 'cursor_reset'; earliest: string }

/** The Redis-held truth: task records and their logs. Every method is one atomic step unless it says otherwise. */
export interface Ledger {
  /**
   * G1, G2. Accepts a task, or answers with the one that has the same agent and idempotency key.
   * Nothing stays behind when it throws.
   * @param limits what the agent may use and have: a task that takes more is refused
   * @throws LongshoreError idempotency_conflict, budget, overloaded, unavailable
   */
  submit(task: NewTask, limits?: SubmitLimits): Promise<Submitted>
  /** Whether Redis has memory for new tasks: without it `submit` refuses them as overloaded. */
  hasRoom(): Promise<boolean>
  /** @throws nothing for an unknown id: undefined. */
  get(taskId: TaskId): Promise<Task | undefined>
  /** Newest first; a record that this build cannot read is left out. Not one step: two reads. */
  list(options: { agentId?: string; limit: number; offset?: number }): Promise<TaskSummary[]>
  /**
   * Newest first, by an index. Not one step. `next`: there may be more after it, also when this page is empty. `isIndexing`: tasks of a build without an index are not all in it yet.
   * Whose record was deleted leaves the index when it is met.
   */
  search(filter: TaskFilter, page: { limit: number; cursor?: string | undefined }): Promise<{ tasks: TaskSummary[]; next?: string; isIndexing: boolean }>
  /** Brings into the index what a build without one has written since the last call. How many tasks were looked at. Not one step. */
  indexOlder(signal: AbortSignal): Promise<number>
  counts(): Promise<Record<Task['state'], number>>

  /**
   * Takes a task for a worker: raises the claim, moves it to running, starts the clock at the first start, forgets the route.
   * A task that is running lost its owner: `crashes` counts that, if the owner died soon after its take.
   * Without `reach` the place of an execution does not matter.
   */
  take(ticket: Pick<Ticket, 'task_id' | 'n'>, worker: string, isolation?: Isolation, reach?: Reach): Promise<Take>
  /** A new attempt inside the same take: the execution could not be found again, as `failure` says. Appends `retrying` and `started`. @throws ClaimLost */
  restart(claim: Claim, worker: string, isolation?: Isolation, failure?: Failure): Promise<Task>
  /** The owner is alive and lets go without an end or a requeue, so that its ticket's next holder takes over: no crash. @throws ClaimLost */
  letGo(claim: Claim): Promise<void>
  /** The owner that let go takes its task up after all: from now on its death counts again. `at`: Redis ms. @throws ClaimLost */
  holdOn(claim: Claim, at: number): Promise<void>
  /** Appends events and stores the source position, and where the full output stands, in the same step (G5). @throws ClaimLost */
  append(claim: Claim, drafts: readonly EventDraft[], position?: string, output?: readonly OutputPart[]): Promise<Task['seq']>
  saveHandle(claim: Claim, handle: Handle): Promise<void>
  /** @throws ClaimLost */
  confirm(claim: Claim): Promise<void>
  /** What the owner looks at while it works. Not bound to the claim: whoever lost it learns that from its next write. */
  requests(claim: Claim): Promise<Requests>
  /** The first message that waits has reached the agent: it waits no longer, and the log says when. A new attempt is told it again. One that waits no longer changes nothing. @throws ClaimLost */
  delivered(claim: Claim, messageId: string): Promise<void>
  /** The agent begins with a fresh session, which heard none of what was told before: that waits again. @throws ClaimLost */
  retell(claim: Claim): Promise<void>
  /** The agent waits for a person, and so does the task: its deadline stands still. The same input again changes nothing. @throws ClaimLost */
  ask(claim: Claim, input: Omit<TaskInput, 'asked_at'>): Promise<void>
  /** The agent has the answer, or does not ask any more; `unheard`: its session was interrupted and may ask again. When it waits for nothing else the task runs again. @throws ClaimLost */
  settleInput(claim: Claim, inputId: InputId, how: 'used' | 'told' | 'withdrawn' | 'unheard'): Promise<void>
  /**
   * Back into the queue with a reason, which is orderly: no crash counts any more. Records the next ticket as pending in the same step. Ends it instead when a cancel was asked for,
   * pauses it when a pause was, and leaves it waiting when it waits for a person and nothing of it may be alive. `resume`: the owner stopped for a pause, which may have been
   * taken back meanwhile. `answer`: it stopped because nobody answered, and somebody may have meanwhile. @throws ClaimLost
   * An `uncounted` retry gives the attempt's number back: the place was to blame.
   */
  requeue(claim: Claim, why: { reason: 'retry'; failure: Failure; delayMs: number; uncounted?: boolean } | { reason: 'handover' | 'resume' | 'answer' }): Promise<Task>
  /** The one ending, by the owner. Records the cleanup debt in the same step. Never throws ClaimLost: `won` says it. */
  end(claim: Claim, ending: Ending): Promise<Ended>
  /** The execution is disposed of and nothing is left (G9). */
  strikeDebt(taskId: TaskId): Promise<void>
  /** Tasks that are over and whose execution is not known to be gone, oldest first. */
  debts(limit: number): Promise<TaskId[]>

  /** Tasks that are over and of which the blob store does not have everything yet, oldest first. */
  keeps(after: number, limit: number): Promise<TaskId[]>
  /** Frees the name of a workspace that nobody has, awaits or used for so long. @returns whether it did: what is left of it can go */
  forgetWorkspace(agentId: AgentId, name: string, idleMs: number): Promise<boolean>
  /** A task that is over and was never kept is on that list from now on. */
  oweKeeping(taskId: TaskId): Promise<void>
  /** What the blob store has of a task from now on; undefined: there is nothing to keep. The task is off that list. */
  saveKept(taskId: TaskId, kept: Pick<Kept, 'bytes' | 'edition'> | undefined): Promise<void>
  /** Tasks of which the blob store has something, in the order of their ends. */
  keptTasks(after: number, limit: number): Promise<KeptTask[]>
  /** Readers are told from now on that nothing is kept any more. */
  saveGone(taskId: TaskId, why: GoneReason): Promise<void>
  /** Its blobs are deleted. */
  forgetKept(taskId: TaskId): Promise<void>
  /** The document of a conversation is in the blob store. The first one stands, and is answered; undefined: there is no such task, or it is not over. */
  saveArchived(taskId: TaskId, archived: Omit<Archived, 'at'>): Promise<Archived | undefined>
  /** Tasks whose conversation is archived, oldest archive first. */
  archivedTasks(after: number, limit: number): Promise<ArchivedTask[]>
  /** Readers are told from now on that the document is not kept any more. */
  saveArchiveGone(taskId: TaskId, why: GoneReason): Promise<void>
  /** Its blob is deleted. */
  forgetArchived(taskId: TaskId): Promise<void>
  /** Tasks that are over and whose log is kept whole, in the order of their ends. */
  wholeLogs(limit: number): Promise<{ id: TaskId; endedAt: number }[]>
  /** Bytes of the events of all of them. */
  logBytes(): Promise<number>
  /** Of the log of a task that is over only the end stays; a cursor before it is reset (G6). @returns bytes that it had; 0 when it is not over or was trimmed before */
  trimLog(taskId: TaskId): Promise<number>
  /** The fleet's log forgets what is older (Redis ms). How many entries. */
  trimFleet(before: number): Promise<number>
  /** Whether `owner` may do alone what `what` names, for so long; whoever has it may ask again before it is over. */
  lease(what: string, owner: string, ms: number): Promise<boolean>
  /** Gives it back. */
  release(what: string, owner: string): Promise<void>

  // `wish` names what is asked for: within a week, asked again under the same name, it has no second effect and is answered as the first time.
  /** Ends a task that has no owner (`ended`); asks the owner of a running one (G3). */
  cancel(taskId: TaskId, by: string, reason?: string, wish?: string): Promise<ControlAnswer<'ended' | 'requested'> | undefined>
  /** Pauses a task that nothing runs of; asks the owner of any other. Paused time counts against no limit but `paused_ttl_ms`. */
  pause(taskId: TaskId, by: string, reason?: string, wish?: string): Promise<ControlAnswer<'paused' | 'requested' | 'unchanged'> | undefined>
  /** Puts a paused task back into the queue, or takes back a pause that its owner has not carried out. */
  resume(taskId: TaskId, by: string, wish?: string): Promise<(ControlAnswer<'resumed' | 'withdrawn' | 'unchanged'> & { ticket?: Ticket }) | undefined>
  /** Leaves a message for the agent, which gets it in order while it runs. `full`: `MAX_WAITING_MESSAGES` wait, or the log has no room. */
  post(taskId: TaskId, mail: Mail, wish?: string): Promise<ControlAnswer<'waiting' | 'full'> | undefined>
  /** The messages that wait, oldest first. */
  mail(taskId: TaskId): Promise<Mail[]>
  /** What the task's agent asked in this session, in that order. */
  inputs(taskId: TaskId): Promise<StoredInput[]>
  /** The first answer counts. `not_open`: somebody, or nobody in time, has answered, or the agent does not ask any more. A task that nobody holds goes on. */
  answer(taskId: TaskId, inputId: InputId, answer: InputAnswer, more?: { why?: 'expired'; wish?: string }): Promise<(ControlAnswer<'answered' | 'not_open' | 'no_such_input'> & { ticket?: Ticket }) | undefined>
  /** What became of a named wish, in the words of its answer; undefined: it was not heard, or a week ago. */
  wished(wish: string): Promise<string | undefined>
  /** For the reconciler: what nobody answered in time is answered as its policy says. Not one step. How many. */
  answerExpired(limit: number): Promise<number>
  /** Somebody watches a task from now on, or does so differently. Who follows the fleet hears of it: no event says so. `full`: `MAX_OBSERVERS` do. */
  watch(taskId: TaskId, watcher: Omit<Watcher, 'at'>): Promise<ControlAnswer<'added' | 'changed' | 'unchanged' | 'full'> | undefined>
  /** Somebody does not watch it any more. */
  unwatch(taskId: TaskId, observer: string): Promise<ControlAnswer<'removed' | 'unchanged'> | undefined>
  /** For the reconciler: ends a task that nobody can run any more. */
  failUnowned(taskId: TaskId, ticket: number, failure: Failure): Promise<Ended | undefined>

  /** Tickets that the ledger wants in the queue and that nobody has confirmed to be there. */
  pendingTickets(limit: number): Promise<PendingTicket[]>
  ticketAdded(...tickets: Pick<Ticket, 'task_id' | 'n'>[]): Promise<void>
  /** The queue lost ticket `n`: the next one, unless the task is over or has moved on. A running task keeps its state, its next owner adopts. */
  reissue(taskId: TaskId, n: number): Promise<Ticket | undefined>
  /**
   * Gives a task that waits, or whose owner is gone, to the workers of one engine, or with undefined to all again: its next ticket, if
   * `n` is the current one. With undefined only while it has a route: a take forgets that, and what was taken is not given to others.
   */
  reroute(taskId: TaskId, n: number, engineId: string | undefined): Promise<Ticket | undefined>
  /**
   * For the reconciler: ends a task whose deadline is over and that nobody owns (G9: time without an owner counts), that was never
   * started within `queue_ttl_ms`, or is paused for longer than `paused_ttl_ms` (unless that is to resume it). An owner gets a grace to end it itself. Whether it is over now because of this.
   */
  timeoutUnowned(taskId: TaskId, ticket: number): Promise<boolean>
  /** Tickets of queued and running tasks from the one after `after`, for the reconciler's rounds, and which live tasks are past a limit of time; `next` is undefined at the end of a round. */
  liveTickets(after: string | undefined, limit: number): Promise<{ tickets: Ticket[]; overdue: (Ticket & { limit: TimeLimit })[]; next?: string }>

  /** Tasks that ended as failed with `poison`, newest first. Written in the same step as the end. */
  poisoned(limit: number, offset?: number): Promise<TaskSummary[]>
  isPoisoned(taskId: TaskId): Promise<boolean>
  /** Takes a task off that list (it was replayed). Whether it stood there. */
  unpoison(taskId: TaskId): Promise<boolean>
  /** The deployment's own, made by the first call and the same ever after. */
  identity(): Promise<Identity>

  /** What the agent's tasks have used since midnight (UTC), running ones included. */
  spentToday(agentId: string): Promise<Spent>
  /** Totals from one day to another, both included (`YYYY-MM-DD`, UTC), by day, agent, profile and mode. Kept for 400 days. */
  usage(from: string, to: string): Promise<UsageLine[]>

  /** Events after a cursor, at most `limit`. A cursor whose id is empty is an offset; `START` stands before the earliest that is kept. */
  read(taskId: TaskId, after: Cursor, limit: number): Promise<Page | undefined>
  /** What people did from chats, newest first; an entry that this build cannot read is left out. */
  audit(limit: number, offset?: number): Promise<AuditEntry[]>
  /** Events of all tasks after a position of the fleet stream; `'0'` is its beginning. */
  readFleet(after: string, limit: number): Promise<FleetEntry[]>
  /**
   * Where to go on when this position is not in the stream any more: what followed it may have been trimmed unread, and the
   * tasks themselves must be looked at (G6: never silence). Whatever is later than the answer is still to be read.
   */
  fleetGap(after: string): Promise<string | undefined>
  /** The events themselves, of all tasks, after a position (the global cursor); `'0'` stands before the earliest that is kept. */
  readFleetEvents(after: string, limit: number): Promise<FleetPage>
  /** The position of the newest event: what comes from now on is after it. */
  fleetEnd(): Promise<string>
}
