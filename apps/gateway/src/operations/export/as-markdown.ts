import type { AnyEvent } from '@longshore/contracts'

import { viewEvent } from '../event-view.ts'
import type { Exported } from './exported.ts'
import { fenced, inline } from './safe-markdown.ts'

/** One Markdown document for people. Whatever others wrote stands in code, and cannot leave it (G14). */
export async function* asMarkdown({ exported_at, task, prompt, observers, diff, more, events }: Exported): AsyncGenerator<string> {
  yield `# Task ${inline(task.title)}\n\n`
  const { title: _, output, git, ...facts } = task
  for (const [name, value] of Object.entries(facts)) yield `- **${name}**: ${inline(typeof value === 'string' ? value : JSON.stringify(value), 1_000)}\n`
  if (git !== undefined) yield `- **git**: ${inline(JSON.stringify(git), 1_000)}\n`
  if (observers.length > 0) yield `- **observers**: ${observers.map((observer) => inline(observer)).join(', ')}\n`
  yield `- **exported_at**: ${inline(exported_at)}\n\n## Prompt\n\n${fenced(prompt)}`
  if (output !== undefined) yield `\n## Last output\n\n${fenced(output)}`
  yield '\n## Log\n'
  for await (const event of events) yield logEntry(event)
  yield `\n## Changes\n\n${changes(diff)}`
  yield `\n## More\n\n${Object.entries(more).map(([name, path]) => `- **${name}**: ${inline(path)}\n`).join('')}`
}

function logEntry(event: AnyEvent): string {
  const { seq, timestamp, type, message } = viewEvent(event)
  const bodies = bodiesOf(event).filter(([, text]) => text.trim() !== '').map(([name, text]) => `\n${name === '' ? '' : `${name}:\n\n`}${fenced(text)}`)
  return `\n**${seq}** ${timestamp} ${inline(type.replace(/^task\./, ''), 80)} ${bodies.length > 0 && event.type === 'task.output' ? '' : inline(message)}\n${bodies.join('')}`
}

/** What an event says besides its line. */
function bodiesOf(event: AnyEvent): [name: string, text: string][] {
  if (!event.known) return [['', JSON.stringify(event.payload)]]
  switch (event.type) {
    case 'task.output': case 'task.message': return [['', event.payload.text]]
    case 'task.tool': return [['input', event.payload.input ?? ''], ['output', event.payload.output ?? '']]
    case 'task.input_required': return [['', event.payload.question], ['choices', event.payload.choices.join('\n')]]
    case 'task.input_answered': return [['', event.payload.answer], ['message', event.payload.message ?? '']]
    case 'task.failed': case 'task.retrying': return [['', event.payload.failure.message]]
    case 'task.usage': return [['', JSON.stringify(event.payload)]]
    case 'task.queued': case 'task.started': case 'task.resumed': case 'task.adopted': case 'task.file_changed': case 'task.message_delivered': case 'task.paused':
    case 'task.completed': case 'task.timeout': case 'task.cancelled': return []
  }
}

function changes(diff: Exported['diff']): string {
  if ('unavailable' in diff) return `Not available: ${inline(diff.unavailable, 1_000)}\n`
  const cut = diff.truncated ? `\n**The patch is cut**: it shows ${diff.files_shown} of ${diff.files_total} files. The rest: ${inline(diff.whole)}\n` : ''
  return `${diff.files_total} files changed.\n${diff.patch === '' ? '' : `\n${fenced(diff.patch, 'diff')}`}${cut}`
}
