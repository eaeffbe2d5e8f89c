import { createHash } from 'node:crypto'

import { type AnyEvent, isOver, type Task, type TaskEvent } from '@longshore/contracts'
import type { Notice } from './notice.ts'
import { type Rendered, renderLines } from './render/lines.ts'
import { renderCard } from './render/render-card.ts'
import { type EndEvent, endOf, renderCompletion } from './render/render-completion.ts'
import { renderDetail } from './render/render-detail.ts'
import { renderMoot, renderQuestion } from './render/render-question.ts'
import type { Asked, TaskView } from './task-view.ts'

export interface TaskDraft { view: TaskView; notices: Notice[] }

/** Of one page of a task's log: after a long absence its thread is not flooded. */
const MAX_DETAILS = 5
/** Observers of the past that are remembered. */
const MAX_LEFT = 50

/** What a sink can show besides words. `attaches`: files that ended tasks left; undefined: it is no place for files. */
export interface Showing { attaches?: boolean }

/** What people are told because of a task's new events. `view` has seen all of them. */
export function draftNotices(task: Task, view: TaskView, events: readonly AnyEvent[], { attaches }: Showing = {}): TaskDraft {
  const known: TaskEvent[] = events.filter((event) => event.known)
  const left = [...new Set([...view.left, ...view.observers])].filter((one) => !task.observers.includes(one)).slice(-MAX_LEFT)
  const noticeOf = (kind: Notice['kind'], event: Pick<TaskEvent, 'id' | 'seq'>, status: Task['state'], words: Rendered, more: Partial<Notice> = {}): Notice => (
    { v: 1, kind, task_id: task.id, agent_id: task.agent_id, event_id: event.id, seq: event.seq, status, title: task.title, observers: task.observers, ...(left.length === 0 ? {} : { left }), ...words, ...more }
  )
  const card = renderCard(task, view)
  const shown = digest([card.plain, task.observers, left])
  const last = { id: view.cursor.id, seq: view.cursor.seq }
  const cards = shown === view.shown || last.seq === 0 ? [] : [noticeOf('card', last, task.state, card)]
  const details = known.flatMap((event) => {
    const words = renderDetail(event)
    return words === undefined ? [] : [noticeOf('detail', event, task.state, words)]
  }).slice(-MAX_DETAILS)
  const questions = questionsToTell(task, view, known).map((asked) => {
    const question = { id: asked.event_id, seq: asked.seq }
    const isMoot = asked.answer === undefined && isOver(task.state)
    return noticeOf('question', question, statusOf(task, asked), isMoot ? renderMoot(task, asked) : renderQuestion(task, asked), { input_id: asked.input_id })
  })
  const endings = known.filter(isEnd).map((event) => noticeOf('completion', event, endOf(event), renderCompletion(task, view, event, attaches === false)))
  const files = attaches === true ? known.filter(isEnd).filter(leftSomething).flatMap((event) => FILES.map((file) => noticeOf('file', event, endOf(event), fileWords(task, file), { file }))) : []
  const asked = isOver(task.state) ? [] : view.asked.filter((one) => one.answer === undefined)
  return { view: { ...view, shown, asked, observers: task.observers, left }, notices: [...cards, ...details, ...questions, ...endings, ...files] }
}

/** Those that were asked or answered just now, and at the end all that are still open. */
function questionsToTell(task: Task, view: TaskView, events: readonly TaskEvent[]): Asked[] {
  const fresh = new Set(events.flatMap((event) => (event.type === 'task.input_required' ? [event.payload.input_id] : [])))
  return view.asked.filter((one) => one.answer !== undefined || fresh.has(one.input_id) || isOver(task.state))
}

/** An answered question does not say that its task needs one, whatever else it still asks. */
function statusOf(task: Task, asked: Asked): Task['state'] {
  if (asked.answer === undefined) return isOver(task.state) ? task.state : 'input_required'
  return task.state === 'input_required' ? 'running' : task.state
}

const FILES = ['diff', 'output'] as const
const leftSomething = ({ payload }: EndEvent): boolean => payload.attempt > 0
const fileWords = (task: Task, file: (typeof FILES)[number]): Rendered => renderLines([{ look: 'text', text: `${file === 'diff' ? 'The patch' : 'The full log'} of ${task.id}` }])

const digest = (shown: unknown): string => createHash('sha256').update(JSON.stringify(shown)).digest('base64url').slice(0, 16)

/** Whether an event is an ending. */
export function isEnd(event: TaskEvent): event is EndEvent {
  return event.type === 'task.completed' || event.type === 'task.failed' || event.type === 'task.timeout' || event.type === 'task.cancelled'
}
