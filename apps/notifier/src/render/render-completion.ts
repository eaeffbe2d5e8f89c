import type { EndState, Task, TaskEvent, TaskResult, Usage } from '@longshore/contracts'
import type { TaskView } from '../task-view.ts'
import { adviceOnFailure, adviceOnLimit, sayLimit } from './advice.ts'
import { durationText } from './duration.ts'
import { bold, count, dotted, grouped, type Line, moneyText, quote, type Rendered, renderLines, stateName, text } from './lines.ts'
import { attemptText } from './render-card.ts'
import { cleanLine, cleanText, lastPart, personText } from './safe-text.ts'

export type EndEvent = Extract<TaskEvent, { type: `task.${EndState}` }>

/** Characters of output in a notice: with three bytes each and escaping still well under Matrix's limits. */
const MAX_OUTPUT = 1_200
const MAX_OUTPUT_LINES = 20
const FILES_NAMED = 5

/** The notice of an ending: what came out, what it took, and after a failure what to do. @param lacksFiles where they would be attached, say why they are not */
export function renderCompletion(task: Task, view: TaskView, event: EndEvent, lacksFiles = false): Rendered {
  const lines = [
    bold(`${stateName(endOf(event))} · ${cleanLine(task.title, 120)}`),
    text(dotted(event.payload.attempt === 0 ? 'never started' : durationText(event.payload.duration_ms), task.mode, attemptText({ ...task, attempt: event.payload.attempt }), usageText(event.payload.result?.usage))),
    ...reason(event),
    text(filesText(event.payload.result, view)),
    text(gitText(event.payload.result)),
    text(unreadText(event.payload.undelivered)),
    quote(outputText(event.payload.result)),
    text(lacksFiles && event.payload.attempt > 0 ? `Not attached (this notifier has no BLOBS_DIR): longshore output ${task.id}` : ''),
  ]
  return renderLines(lines.filter((line) => line.text !== ''))
}

/** The state that an ending event leads to. */
export function endOf(event: EndEvent): EndState {
  switch (event.type) {
    case 'task.completed': return 'completed'
    case 'task.failed': return 'failed'
    case 'task.timeout': return 'timeout'
    case 'task.cancelled': return 'cancelled'
  }
}

function reason(event: EndEvent): Line[] {
  switch (event.type) {
    case 'task.completed':
      return []
    case 'task.failed':
      return [text(cleanLine(`${event.payload.failure.code}: ${event.payload.failure.message}`, 500)), text(`What to do: ${adviceOnFailure(event.payload.failure.code)}`)]
    case 'task.timeout':
      return [text(sayLimit(event.payload.limit, event.payload.limit_ms)), text(`What to do: ${adviceOnLimit(event.payload.limit)}`)]
    case 'task.cancelled':
      return [text(cleanLine(`By ${personText(event.payload.by)}${event.payload.reason === undefined ? '' : `: ${event.payload.reason}`}`, 500))]
  }
}

/** Tokens as budgets count them: without what is read from the provider's cache. */
function usageText(usage: Usage | undefined): string | undefined {
  if (usage === undefined) return undefined
  const tokens = usage.input_tokens + usage.output_tokens + usage.reasoning_tokens + usage.cache_write_tokens
  return tokens === 0 ? '' : dotted(`${grouped(tokens)} tokens`, usage.cost_micros === 0 ? undefined : `cost ${moneyText(usage.cost_micros)}`)
}

function filesText(result: TaskResult | undefined, view: TaskView): string {
  const files = result?.files_changed ?? view.files.length
  if (files === 0) return ''
  const named = view.files.slice(0, FILES_NAMED).join(', ')
  return `${count(files, 'file')} changed${named === '' ? '' : `: ${named}${files > FILES_NAMED ? ', …' : ''}`}`
}

/** Where the result was pushed, or why not. */
function gitText(result: TaskResult | undefined): string {
  const { branch, push_error: error } = result?.git ?? {}
  if (error !== undefined) return cleanLine(`Not pushed: ${error}`, 500)
  return branch === undefined ? '' : cleanLine(`Pushed as ${branch}`, 200)
}

function unreadText(undelivered: readonly string[] | undefined): string {
  return undelivered === undefined ? '' : `${count(undelivered.length, 'message')} never reached the agent`
}

function outputText(result: TaskResult | undefined): string {
  const words = cleanText(result?.output ?? '').trim()
  const lines = words.split('\n')
  const some = lines.length <= MAX_OUTPUT_LINES ? words : `…\n${lines.slice(-MAX_OUTPUT_LINES).join('\n')}`
  return lastPart(some, MAX_OUTPUT)
}
