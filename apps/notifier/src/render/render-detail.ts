import type { TaskEvent } from '@longshore/contracts'
import { durationText } from './duration.ts'
import { type Line, quote, type Rendered, renderLines, text } from './lines.ts'
import { cleanLine, cleanText, lastPart, personText } from './safe-text.ts'

const MAX_MESSAGE = 600

/**
 * A turn of events that people want to find in the thread later: it went wrong and is tried again, changed hands, was stopped or told something.
 * Steps, output and files are not: the card shows the newest, the completion what came out.
 * @returns undefined: not worth a message
 */
export function renderDetail(event: TaskEvent): Rendered | undefined {
  const lines = linesOf(event)
  return lines === undefined ? undefined : renderLines(lines)
}

function linesOf(event: TaskEvent): Line[] | undefined {
  switch (event.type) {
    case 'task.retrying':
      return [text(cleanLine(`🔁 Attempt ${event.payload.attempt} failed: ${event.payload.failure.code}: ${event.payload.failure.message}`, 400)), text(`The next one begins in ${durationText(event.payload.delay_ms)}.`)]
    case 'task.adopted':
      return [text(cleanLine(`🔧 Its worker was lost; ${event.payload.worker} took over. The run goes on, nothing is lost.`, 240))]
    case 'task.resumed':
      return [text(cleanLine(`▶️ Goes on, on ${event.payload.worker}: ${event.payload.detail}`, 300))]
    case 'task.paused':
      return [text(cleanLine(`⏸️ Paused by ${personText(event.payload.by)}${event.payload.reason === undefined ? '' : `: ${event.payload.reason}`}`, 300))]
    case 'task.message':
      return [text(cleanLine(`✉️ To the agent, from ${personText(event.payload.by)}`, 160)), quote(lastPart(cleanText(event.payload.text).trim(), MAX_MESSAGE))]
    case 'task.queued': case 'task.started': case 'task.output': case 'task.tool': case 'task.file_changed': case 'task.usage': case 'task.message_delivered':
    case 'task.input_required': case 'task.input_answered': case 'task.completed': case 'task.failed': case 'task.timeout': case 'task.cancelled':
      return undefined
  }
}
