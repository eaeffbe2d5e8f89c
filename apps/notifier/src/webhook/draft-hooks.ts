import { type AnyEvent, type EventType, type Task, type TaskEvent, TaskState } from '@longshore/contracts'
import type { TaskDraft } from '../draft-notices.ts'
import type { Notice } from '../notice.ts'
import type { TaskView } from '../task-view.ts'

/** To whom and of what is told. */
export interface HookWish {
  /** The deployment's own receivers. */
  to: readonly string[]
  /** Whether a task may name this one. */
  isAllowed: (callbackUrl: string) => boolean
  events: ReadonlySet<EventType>
}

/** One notice per wanted event and receiver; its body never changes any more. */
export function draftHooks(wish: HookWish, task: Task, view: TaskView, events: readonly AnyEvent[]): TaskDraft {
  const { callback_url: callback } = task
  const receivers = new Set([...wish.to, ...(callback !== undefined && wish.isAllowed(callback) ? [callback] : [])])
  const wanted = events.filter((event) => event.known).filter((event) => wish.events.has(event.type))
  return { view, notices: wanted.flatMap((event) => [...receivers].map((to) => noticeOf(task, event, to))) }
}

function noticeOf(task: Task, event: TaskEvent, to: string): Notice {
  const body = JSON.stringify(hookOf(task, event))
  return { v: 1, kind: 'event', task_id: task.id, agent_id: task.agent_id, event_id: event.id, seq: event.seq, status: statusAt(task, event), plain: body, html: '', observers: [], to }
}

/** What a receiver gets: the scheme's `type`, `timestamp` and `data`. `event` is as in `get_task_history`. */
export function hookOf(task: Task, event: TaskEvent): object {
  const timestamp = new Date(event.at).toISOString()
  return {
    type: event.type,
    timestamp,
    data: {
      task_id: task.id, agent_id: task.agent_id, title: task.title, mode: task.mode, status: statusAt(task, event),
      event: { seq: event.seq, id: event.id, timestamp, type: event.type, data: event.payload },
    },
  }
}

/** Many events name the state that they lead to; the record may have gone on since. */
function statusAt(task: Task, event: TaskEvent): TaskState {
  return TaskState.safeParse(event.type.replace('task.', '')).data ?? task.state
}
