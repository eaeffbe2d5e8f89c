import { MAX_WAITING_MESSAGES, MessageText, type TaskState } from '@longshore/contracts'
import type { ControlAnswer } from '@longshore/ledger'
import { canDo } from '@longshore/queue'
import { stateName, text } from '../render/lines.ts'
import { type Answer, type Ground, Refusal, type TaskWish } from './deed.ts'

const MAX_REASON_CHARACTERS = 1_000

export async function cancel({ ledger }: Ground, { task, by, words, id }: TaskWish): Promise<Answer> {
  const done = standing(await ledger.cancel(task.id, by, reasonIn(words), id))
  if (done.outcome === 'already_over' && done.task.state === 'cancelled') return [text('It was cancelled before.')]
  return [text(alive(done) === 'ended' ? '🚫 Cancelled.' : '🚫 Its worker was told to end it.')]
}

export async function pause(ground: Ground, { task, by, words, id }: TaskWish): Promise<Answer> {
  if (task.handle !== undefined && !canDo(await ground.workers(), task, 'pause')) throw new Refusal(`A task of this kind (profile ${task.profile}) cannot be paused while it runs: !cancel it, or let it go on.`)
  return [text({ paused: '⏸️ Paused. !resume lets it go on.', requested: '⏸️ Its worker was told to pause it. !resume lets it go on.', unchanged: 'It is paused already.' }[alive(standing(await ground.ledger.pause(task.id, by, reasonIn(words), id)))])]
}

export async function resume({ ledger }: Ground, { task, by, id }: TaskWish): Promise<Answer> {
  // Its ticket stands in the ledger: a dispatcher brings it into the queue.
  return [text({ resumed: '▶️ It goes on where it stood.', withdrawn: '▶️ It had not stopped yet: the pause is taken back.', unchanged: 'It is not paused.' }[alive(standing(await ledger.resume(task.id, by, id)))])]
}

const WAITS: Partial<Readonly<Record<TaskState, string>>> = { queued: 'when the task runs', paused: 'when the task is resumed', input_required: 'when its question is answered' }

/** G14: words are data for the agent, and no more than its mailbox takes. */
export async function say(ground: Ground, { task, by, words, id }: TaskWish): Promise<Answer> {
  if (words === '') throw new Refusal('Say what: !say text.')
  const message = MessageText.safeParse(words)
  if (!message.success) throw new Refusal(`That ${message.error.issues[0]?.message ?? 'cannot be told'}; it has ${Buffer.byteLength(words)}.`)
  if (!canDo(await ground.workers(), task, 'steer')) throw new Refusal(`A task of this kind (profile ${task.profile}) cannot be told anything while it runs.`)
  const done = alive(standing(await ground.ledger.post(task.id, { message_id: `msg-${id}`, message_type: 'feedback', by, text: message.data }, id)))
  if (done === 'full') throw new Refusal(`Its mailbox is full (${MAX_WAITING_MESSAGES} messages wait, or its history has no room): wait until the agent has read some.`)
  return [text(`💬 The agent reads it ${WAITS[task.state] ?? 'at its next step'}.`)]
}

function reasonIn(words: string): string | undefined {
  if (words.length > MAX_REASON_CHARACTERS) throw new Refusal(`The reason has ${words.length} characters; at most ${MAX_REASON_CHARACTERS} are allowed.`)
  return words === '' ? undefined : words
}

export function standing<O extends string>(answer: ControlAnswer<O> | undefined): ControlAnswer<O> {
  if (answer === undefined) throw new Refusal('This task is not known here any more.')
  return answer
}

/** What was done. @throws Refusal when the task is over */
export function alive<O extends string>({ outcome, before }: ControlAnswer<O>): O {
  if (outcome === 'already_over') throw new Refusal(`The task is over: ${stateName(before)}.`)
  return outcome
}
