import type { Task } from '@longshore/contracts'
import type { Asked } from '../task-view.ts'
import { dayText } from './duration.ts'
import { bold, code, type Line, quote, type Rendered, renderLines, text } from './lines.ts'
import { cleanLine, lastPart, personText } from './safe-text.ts'

const KEYCAPS = ['1️⃣', '2️⃣', '3️⃣', '4️⃣', '5️⃣', '6️⃣', '7️⃣', '8️⃣', '9️⃣', '🔟']
/** How a choice is marked, and with which reaction it is taken. */
const markOf = (i: number): string => KEYCAPS[i] ?? `${i + 1}.`
/** Characters of a question, and of all its choices together: an event holds them twice, and escaping makes more of them. */
const [MAX_SHOWN, MAX_CHOICES_SHOWN] = [800, 900]

/** A question as long as it is open: what is asked, and how to answer in a second. */
export function renderQuestion(task: Task, asked: Asked): Rendered {
  const title = cleanLine(task.title, 80)
  const lines = asked.answer !== undefined
    ? [bold(`${answerHeadline(asked)} · ${title}`), quote(lastPart(asked.question, MAX_SHOWN)), ...answerLines(asked)]
    : [bold(`${asked.kind === 'permission' ? '🔐 Permission' : '❓ Question'} · ${title}`), quote(lastPart(asked.question, MAX_SHOWN)), ...(asked.kind === 'permission' ? permissionLines() : choiceLines(asked)), ...untilLine(asked)]
  return renderLines(lines.filter((line) => line.text !== ''))
}

/** What stands in a question's place when its task is over. */
export function renderMoot(task: Task, asked: Asked): Rendered {
  return renderLines([bold(`⚪ Not needed any more · ${cleanLine(task.title, 80)}`), quote(lastPart(asked.question, MAX_SHOWN)), text('The task is over.')])
}

function permissionLines(): Line[] {
  return [text('React with ✅ to allow it once or ❌ to deny it, or write here:'), code('!approve · !approve always · !deny why not')]
}

function choiceLines({ choices, free_text: freeText, multiple }: Asked): Line[] {
  if (choices.length === 0) return [text('Write here:'), code('!answer your words')]
  const ways = [multiple ? '!answer 1, 2' : '!answer 1', ...(freeText ? ['!answer your own words'] : []), '!deny to go on without']
  return [
    ...choices.map((choice, i) => text(`${markOf(i)} ${cleanLine(choice, Math.max(20, Math.floor(MAX_CHOICES_SHOWN / choices.length)))}`)),
    text(choices.length > KEYCAPS.length ? 'Write here:' : 'React with a number, or write here:'),
    code(ways.join(' · ')),
  ]
}

function untilLine({ kind, expires_at: until }: Asked): Line[] {
  if (until === undefined) return []
  return [text(`Until ${dayText(until)}; then ${kind === 'permission' ? 'the deployment\'s default holds' : 'the agent goes on without an answer'}.`)]
}

function answerHeadline({ kind, answer }: Asked): string {
  if (answer?.why === 'withdrawn') return '⚪ Not asked any more'
  if (answer?.why === 'expired') return '⌛ Nobody answered in time'
  if (kind === 'question') return '💬 Answered'
  return answer?.text === 'deny' || answer?.text === '' ? '❌ Denied' : '✅ Allowed'
}

function answerLines({ kind, answer }: Asked): Line[] {
  if (answer === undefined || answer.why === 'withdrawn') return []
  const words = kind === 'question' ? answer.text : answer.text === 'always' ? 'always, for the rest of the task' : ''
  return [text(words === '' ? '' : `→ ${words}`), text(answer.message === undefined ? '' : `“${answer.message}”`), text(answer.why === 'expired' ? '' : `By ${personText(answer.by)}`)]
}
