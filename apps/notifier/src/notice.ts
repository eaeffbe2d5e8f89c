import { z } from 'zod'

import { EventId, Observer, TaskId, TaskState } from '@longshore/contracts'

/** `card`: a task's living status, the latest wins. `completion`: an ending, said once. `event`: one event as it is, for programs. */
export const NoticeKind = z.enum(['card', 'completion', 'event'])
export type NoticeKind = z.infer<typeof NoticeKind>

/** What is to be told because of an event, ready to show in any sink. */
export const Notice = z.object({
  v: z.literal(1),
  kind: NoticeKind,
  task_id: TaskId,
  /** The event that it tells of; with the kind it names the fact (G8). */
  event_id: EventId,
  seq: z.int().positive(),
  status: TaskState,
  plain: z.string(),
  html: z.string(),
  /** Who is to see it: pinged by a completion, brought into the room by a card. */
  observers: z.array(Observer),
  /** Which of the sink's receivers, where it has several. */
  to: z.string().optional(),
  /** What a block in an agent's memory is to hold. */
  block: z.string().optional(),
})
export type Notice = z.infer<typeof Notice>

/** The outbox's name of a notice: one per task for cards, so that a newer one replaces it; one per fact else. */
export function noticeId({ kind, task_id, event_id, to }: Pick<Notice, 'kind' | 'task_id' | 'event_id' | 'to'>): string {
  if (kind === 'card') return `card:${task_id}`
  return `${kind}:${task_id}:${event_id}${to === undefined ? '' : `:${to}`}`
}
