import type { AnyEvent, Task } from '@longshore/contracts'
import type { TaskDraft } from './draft-notices.ts'
import type { Letter } from './notice.ts'
import type { Frozen } from './outbox/frozen.ts'
import type { TaskView } from './task-view.ts'

/** What became of one try. */
export type Outcome =
  /** `receipt`: of a first post that is edited or answered later; kept for that. */
  | { kind: 'sent'; receipt?: string }
  /** Not taken, for certain: it comes too fast. */
  | { kind: 'limited'; afterMs: number }
  /** Whether it was taken is unknown, or the receiver is away: the same again, after `afterMs` where the sink knows better than the lane. */
  | { kind: 'again'; reason: string; afterMs?: number }
  /** What it tells of is not there yet: nothing was sent, and others go first. */
  | { kind: 'later'; afterMs: number }
  /** Nothing goes in this lane until a person mends it. */
  | { kind: 'blocked'; reason: string }
  /** This one will never be taken. */
  | { kind: 'refused'; reason: string }

/** What earlier posts of a task left: where a letter belongs. */
export interface Receipts {
  /** Of the task's card. */
  root: string | undefined
  /** Of the first post of this very letter; then this is its edit. */
  posted: string | undefined
}

/** Where notices go. A sink keeps no queue and does not retry: the lanes do. */
export interface Sink {
  readonly name: string
  /** Lanes at which one notifier works at a time. Default: 64, so that many that hang hold up nobody. */
  readonly lanesAtOnce?: number
  /** What it tells because of a task's new events; pure. `view` has seen all of them. */
  draft(task: Task, view: TaskView, events: readonly AnyEvent[]): TaskDraft
  /** Letters of one lane are sent one after the other, in order; a lane that is slow or blocked holds up no other. */
  laneOf(letter: Letter): string
  /** What the receiver's rate limit counts together. Default: each lane by itself. */
  accountOf?(lane: string): string
  /** Of a receiver that is not the deployment's own: its trouble does not make the notifier unready. */
  isStranger?(lane: string): boolean
  /** Makes ready what sending in a lane needs; cheap when it is. `sent` means ready. @param letter the first that is to go */
  open(lane: string, letter: Letter): Promise<Outcome>
  /** The final body and id. Only after `open` of its lane. */
  freeze(letter: Letter, receipts: Receipts): Frozen
  /** @param isRetry it was tried before, here or by a notifier that died: the receiver may have it */
  send(frozen: Frozen, isRetry: boolean): Promise<Outcome>
}
