import { answerChoices, AnswerText, InputAnswer, LongshoreError, type StoredInput } from '@longshore/contracts'
import { text } from '../render/lines.ts'
import { cleanLine } from '../render/safe-text.ts'
import { type Answer, type Ground, Refusal, type TaskWish } from './deed.ts'
import { alive, standing } from './steer.ts'

export type Way = 'approve' | 'deny' | 'answer'
interface Decision { choices: string[]; message?: string }

/** Answers the question that was replied or reacted to, else the only one that is open. The first answer counts. */
export async function answer({ ledger }: Ground, way: Way, { task, by, words, id, inputId }: TaskWish): Promise<Answer> {
  // Asked by a notifier that died before it could say so: what it answered may be forgotten by now, and another question open.
  if ((await ledger.wished(id)) === 'answered') return [text('👍 Answered.')]
  const input = chosen(await ledger.inputs(task.id), inputId)
  const decision = decide(input, way, words)
  const done = alive(standing(await ledger.answer(task.id, input.input_id, InputAnswer.parse({ ...decision, by }), { wish: id })))
  if (done === 'no_such_input') throw new Refusal('The agent does not ask that any more.')
  if (done === 'not_open') throw new Refusal(await whatStands(ledger, task.id, input))
  return [text(`👍 Answered: ${cleanLine(decision.choices.join(', '), 200) || 'go on without an answer'}`)]
}

function chosen(inputs: readonly StoredInput[], inputId: string | undefined): StoredInput {
  const named = inputs.find(({ input_id }) => input_id === inputId)
  if (named !== undefined) return named
  if (inputId !== undefined) throw new Refusal('The agent does not ask that any more.')
  const open = inputs.filter(({ status }) => status === 'open')
  if (open.length > 1) throw new Refusal(`${open.length} questions are open: reply to the one that you mean, or react to it.`)
  if (open[0] === undefined) throw new Refusal('The agent asks nothing now.')
  return open[0]
}

async function whatStands(ledger: Ground['ledger'], taskId: TaskWish['task']['id'], input: StoredInput): Promise<string> {
  const { answer: given } = (await ledger.inputs(taskId)).find(({ input_id }) => input_id === input.input_id) ?? input
  return given === undefined ? 'The agent does not ask that any more.' : `${cleanLine(given.by, 120)} has answered already: ${cleanLine(given.choices.join(', '), 200) || 'go on without an answer'}. Tell the agent with !say if that must change.`
}

/** What words come to as an answer; pure. @throws Refusal naming what is allowed */
export function decide(input: StoredInput, way: Way, words: string): Decision {
  if (way === 'deny') return denial(input, words)
  const isPermission = input.kind === 'permission'
  const given = words === '' ? bare(input, way) : split(input, words).map((word) => byNumber(input, word))
  if (isPermission && way === 'approve' && given[0]?.toLowerCase() === 'deny') throw new Refusal('!approve allows; to refuse it: !deny [reason].')
  return { choices: checked(input, given) }
}

function denial(input: StoredInput, words: string): Decision {
  if (input.kind !== 'permission') {
    if (words !== '') throw new Refusal('A question takes no reason: !answer text answers it, !deny alone lets the agent go on without.')
    return { choices: [] }
  }
  const reason = AnswerText.safeParse(words)
  if (!reason.success) throw new Refusal(`The reason has ${words.length} characters; at most 2000 are allowed.`)
  return { choices: ['deny'], ...(words === '' ? {} : { message: reason.data }) }
}

/** Without a word: yes to a permission, or the only choice there is. */
function bare(input: StoredInput, way: Way): string[] {
  if (way === 'approve' && input.kind === 'permission') return ['allow']
  if (way === 'approve' && input.choices.length === 1) return [...input.choices]
  throw new Refusal(`Say which: ${listed(input)}`)
}

function split({ multiple, choices }: StoredInput, words: string): string[] {
  if (!multiple || choices.includes(words)) return [words]
  const parts = words.split(/^[\d\s,]+$/.test(words) ? /[\s,]+/ : ',')
  return parts.map((part) => part.trim()).filter((part) => part !== '')
}

function byNumber({ choices }: StoredInput, word: string): string {
  return choices.includes(word) ? word : ((/^\d{1,2}$/.test(word) ? choices[Number(word) - 1] : undefined) ?? word)
}

function checked(input: StoredInput, given: readonly string[]): string[] {
  if (given.some((word) => !AnswerText.safeParse(word).success)) throw new Refusal('An answer has at most 2000 characters.')
  try {
    return answerChoices(input, given, undefined)
  } catch (error) {
    if (error instanceof LongshoreError) throw new Refusal(`Not an answer to this. ${listed(input)}`, { cause: error })
    throw error
  }
}

function listed({ choices, free_text, multiple }: StoredInput): string {
  const numbered = choices.map((choice, i) => `${i + 1} ${cleanLine(choice, 60)}`).join(', ')
  if (choices.length === 0) return '!answer text.'
  return `${numbered}${multiple ? ' (several as 1, 3)' : ''}${free_text ? ', or another text with !answer' : ''}.`
}

/** Emojis that decide something; variation selectors are nothing. */
export function readKey(key: string): { way: Way; words: string } | undefined {
  const plain = key.replaceAll('\uFE0F', '')
  if (plain === '✅') return { way: 'approve', words: '' }
  if (plain === '❌') return { way: 'deny', words: '' }
  const [, digit] = /^([1-9])\u20E3$/.exec(plain) ?? []
  const number = plain === '🔟' ? '10' : digit
  return number === undefined ? undefined : { way: 'answer', words: number }
}
