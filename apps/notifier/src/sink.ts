import type { AnyEvent, Task } from '@longshore/contracts'
import type { TaskDraft } from './draft-notices.ts'
import type { Notice } from './notice.ts'
import type { Frozen } from './outbox/frozen.ts'
import type { TaskView } from './task-view.ts'

/** What became of one try. */
export type Outcome =
  /** `receipt`: of a card's first post; kept for its edits and thread. */
  | { kind: 'sent'; receipt?: string }
  /** Not taken, for certain: it comes too fast. */
  | { kind: 'limited'; afterMs: number }
  /** Whether it was taken is unknown, or the receiver is away: the same again, after `afterMs` where the sink knows better than the lane. */
  | { kind: 'again'; reason: string; afterMs?: number }
  /** Nothing goes until a person mends it. */
  | { kind: 'blocked'; reason: string }
  /** This one will never be taken. */
  | { kind: 'refused'; reason: string }

/** Where notices go. A sink keeps no queue and does not retry: the lane does. */
export interface Sink {
  readonly name: string
  /** What it tells because of a task's new events; pure. `view` has seen all of them. */
  draft(task: Task, view: TaskView, events: readonly AnyEvent[]): TaskDraft
  /** Makes ready what sending needs; cheap when it is. `sent` means ready. */
  open(): Promise<Outcome>
  /** The final body and id. Only after `open`. @param root receipt of the task's card */
  freeze(notice: Notice, root: string | undefined): Frozen
  /** @param isRetry it was tried before, here or by a notifier that died: the receiver may have it */
  send(frozen: Frozen, isRetry: boolean): Promise<Outcome>
}
