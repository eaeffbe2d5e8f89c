import type { StoredInput, Task } from '@longshore/contracts'
import { clockText } from '../render/duration.ts'
import { bold, count, dotted, type Line, quote, stateName, text } from '../render/lines.ts'
import { attemptText } from '../render/render-card.ts'
import { cleanLine } from '../render/safe-text.ts'
import type { Answer, Ground, TaskWish } from './deed.ts'
import { deedsOf, ruleOf, type Standing } from './deeds.ts'

/** How a task stands, read at this moment. */
export async function status({ ledger }: Ground, { task }: TaskWish): Promise<Answer> {
  const open = (await ledger.inputs(task.id)).filter((input) => input.status === 'open')
  return [
    bold(`${stateName(task.state)} · ${cleanLine(task.title, 120)}`),
    text(dotted(task.mode, attemptText(task), sinceText(task), task.worker === undefined ? undefined : `on ${cleanLine(task.worker, 60)}`)),
    text(dotted(wanted(task), task.messages_waiting === undefined || task.messages_waiting === 0 ? undefined : `${count(task.messages_waiting, 'message')} not read yet`)),
    ...open.flatMap(questionLines),
  ].filter((line) => line.text !== '')
}

function sinceText({ state, started_at, paused_at, waiting_at, ended_at }: Task): string | undefined {
  const at = { paused: paused_at, input_required: waiting_at, running: started_at, queued: undefined, completed: ended_at, failed: ended_at, timeout: ended_at, cancelled: ended_at }[state]
  return at === undefined ? undefined : `since ${clockText(at)}`
}

function wanted({ cancel_requested: cancel, pause_requested: pause }: Task): string | undefined {
  if (cancel !== undefined) return `to be cancelled, as ${cleanLine(cancel.by, 80)} asked`
  return pause === undefined ? undefined : `to be paused, as ${cleanLine(pause.by, 80)} asked`
}

function questionLines({ question, choices }: StoredInput): Line[] {
  const numbered = choices.map((choice, i) => `${i + 1} ${cleanLine(choice, 60)}`)
  return [text('It asks:'), quote(cleanLine(question, 400)), text(dotted(...numbered))]
}

/** What somebody may do, from the very table by which they are judged. */
export function help(standing: Standing): Answer {
  if (standing.here === undefined) return [text(NO_ROLE)]
  const lines = deedsOf(standing).map((deed) => {
    const { usage, about } = ruleOf(deed)
    return text(`${usage}: ${about}`)
  })
  return [bold(`You are ${standing.here} here.`), ...lines, text('What is about a task belongs into its thread, or is a reply to its card.')]
}

export const NO_ROLE = 'You have no role here, so you may do nothing. An operator of this Longshore gives roles (MATRIX_AUTHORITY).'
