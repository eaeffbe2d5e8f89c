import { createHash } from 'node:crypto'

import type { AnyEvent, Task, TaskId, TaskState } from '@longshore/contracts'
import type { Ledger } from '@longshore/ledger'
import type { Notice, NoticeKind } from './notice.ts'
import type { Rendered } from './render/lines.ts'
import { renderCard } from './render/render-card.ts'
import { type EndEvent, endOf, renderCompletion } from './render/render-completion.ts'
import type { Sink } from './sink.ts'
import { advanceView, EMPTY_VIEW, type TaskView } from './task-view.ts'

const PAGE = 500

export interface TaskDraft { view: TaskView; notices: Notice[] }

/**
 * Reads on in a task's log from where its view stands and lets the sink say what is to be told.
 * @param newsSince what ended before it (ms) is history: the view moves on, nobody is told
 * @returns undefined when there is nothing new
 */
export async function draftTask(ledger: Pick<Ledger, 'get' | 'read'>, sink: Pick<Sink, 'draft'>, taskId: TaskId, from: TaskView, newsSince: number): Promise<TaskDraft | undefined> {
  const { view, events } = await readOn(ledger, taskId, from)
  if (view.cursor.seq === from.cursor.seq) return undefined
  const task = events.length === 0 ? undefined : await ledger.get(taskId)
  if (task === undefined) return { view, notices: [] }
  if (task.ended_at !== undefined && task.ended_at < newsSince) return { view, notices: [] }
  return sink.draft(task, view, events)
}

/** What people are told because of a task's new events. `view` has seen all of them. */
export function draftNotices(task: Task, view: TaskView, events: readonly AnyEvent[]): TaskDraft {
  const card = renderCard(task, view)
  const shown = createHash('sha256').update(card.plain).digest('base64url').slice(0, 16)
  const last = events.at(-1)
  const cards = last === undefined || shown === view.shown ? [] : [noticeOf('card', task, last, task.state, card)]
  const endings = events.filter(isEnd).map((event) => noticeOf('completion', task, event, endOf(event), renderCompletion(task, view, event)))
  return { view: { ...view, shown }, notices: [...cards, ...endings] }
}

function noticeOf(kind: NoticeKind, task: Task, event: AnyEvent, status: TaskState, words: Rendered): Notice {
  return { v: 1, kind, task_id: task.id, event_id: event.id, seq: event.seq, status, observers: task.observers, ...words }
}

/** Whether an event is an ending. */
export function isEnd(event: AnyEvent): event is EndEvent & { known: true } {
  return event.known && (event.type === 'task.completed' || event.type === 'task.failed' || event.type === 'task.timeout' || event.type === 'task.cancelled')
}

async function readOn(ledger: Pick<Ledger, 'read'>, taskId: TaskId, from: TaskView): Promise<{ view: TaskView; events: AnyEvent[] }> {
  const events: AnyEvent[] = []
  let view = from
  for (;;) {
    const page = await ledger.read(taskId, view.cursor, PAGE)
    if (page === undefined) return { view, events }
    if (page.kind === 'cursor_reset') {
      // Another history than the one we knew (G6): from its beginning, once.
      if (view.cursor.seq === page.earliest.seq) return { view, events }
      view = { ...EMPTY_VIEW, cursor: page.earliest }
      continue
    }
    for (const event of page.events) view = advanceView(view, event)
    // Output may be long and no notice needs it.
    events.push(...page.events.filter((event) => event.type !== 'task.output'))
    if (page.events.length < PAGE) return { view, events }
  }
}
