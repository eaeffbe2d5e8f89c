import type { AnyEvent, Task, TaskId } from '@longshore/contracts'
import type { Ledger } from '@longshore/ledger'
import type { TaskDraft } from './draft-notices.ts'
import type { Sink } from './sink.ts'
import { advanceView, EMPTY_VIEW, type TaskView } from './task-view.ts'

const PAGE = 500

/**
 * Reads on in a task's log from where its view stands and lets the sink say what is to be told.
 * @param newsSince what ended before it (ms) is history: the view moves on, nobody is told
 * @returns undefined when there is nothing new
 */
export async function draftTask(ledger: Pick<Ledger, 'get' | 'read'>, sink: Pick<Sink, 'draft'>, taskId: TaskId, from: TaskView, newsSince: number): Promise<TaskDraft | undefined> {
  const { view, events } = await readOn(ledger, taskId, from)
  const isMoved = view.cursor.seq !== from.cursor.seq
  if (isMoved && events.length === 0) return { view, notices: [] }
  const task = await ledger.get(taskId)
  if (task === undefined) return isMoved ? { view, notices: [] } : undefined
  // Who observes it changes without an event.
  if (!isMoved && (from.cursor.seq === 0 || sameObservers(task, view))) return undefined
  if (task.ended_at !== undefined && task.ended_at < newsSince) return { view, notices: [] }
  return sink.draft(task, view, events)
}

const sameObservers = ({ observers }: Task, view: TaskView): boolean => observers.length === view.observers.length && observers.every((one) => view.observers.includes(one))

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
