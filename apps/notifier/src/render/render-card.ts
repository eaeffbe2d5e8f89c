import { isOver, type Task } from '@longshore/contracts'
import type { TaskView } from '../task-view.ts'
import { clockText, durationText } from './duration.ts'
import { bold, code, count, dotted, type Rendered, renderLines, stateName, text } from './lines.ts'
import { cleanLine } from './safe-text.ts'

/** A task's status card: state, title, who and how, the newest step. Short, because it is edited in place for hours. */
export function renderCard(task: Task, view: TaskView): Rendered {
  const lines = [
    bold(`${stateName(task.state)} · ${cleanLine(task.title, 120)}`),
    text(dotted(cleanLine(task.agent_id, 60), task.mode, attemptText(task), timeText(task))),
    text(dotted(view.steps === 0 ? undefined : count(view.steps, 'step'), filesText(task, view))),
    code(task.state === 'running' ? view.doing : ''),
    text(isOver(task.state) ? '' : view.remark),
    code(task.id),
  ]
  return renderLines(lines.filter((line) => line.text !== ''))
}

/** `attempt 2 of 3`; nothing for a first try that needs no explaining. */
export function attemptText(task: Pick<Task, 'attempt' | 'max_attempts'>): string | undefined {
  return task.attempt > 1 ? `attempt ${task.attempt} of ${task.max_attempts}` : undefined
}

function timeText(task: Task): string | undefined {
  if (task.ended_at !== undefined) return task.started_at === undefined ? 'never started' : `took ${durationText(task.ended_at - task.started_at)}`
  return task.state === 'running' && task.started_at !== undefined ? `since ${clockText(task.started_at)}` : undefined
}

function filesText(task: Task, view: TaskView): string | undefined {
  const files = task.result?.files_changed ?? view.files.length
  return files === 0 ? undefined : `${count(files, 'file')} changed`
}
