import { LongshoreError } from './errors.ts'
import { MAX_CHOICES, type TaskInput } from './input.ts'

/** What may be answered, as it is to be handed on. @throws LongshoreError invalid_input */
export function answerChoices({ kind, choices, free_text, multiple }: Pick<TaskInput, 'kind' | 'choices' | 'free_text' | 'multiple'>, given: readonly string[], message: string | undefined): string[] {
  const isPermission = kind === 'permission'
  // As the agent wrote it, which may be with blanks at its ends.
  const words = given.map((word) => choices.find((choice) => choice === word) ?? choices.find((choice) => choice.trim() === word.trim()) ?? word.trim())
  const isAllowed = (word: string) => choices.includes(word) || (free_text && word !== '')
  const most = multiple ? MAX_CHOICES : 1
  if (words.length > most || (isPermission && words.length === 0)) throw refusal(`got ${words.length} answers, allowed: ${isPermission || !multiple ? 'one' : `at most ${most}`}`, choices)
  const strange = words.find((word) => !isAllowed(word))
  if (strange !== undefined) throw refusal(`got ${JSON.stringify(strange.slice(0, 100))}, allowed: ${choices.join(', ') || 'a text'}${free_text && choices.length > 0 ? ', or another text' : ''}`, choices)
  if (message !== undefined && words[0] !== 'deny') throw new LongshoreError('invalid_input', 'message: only a denied permission has one', { field: 'message', next: 'Leave it out, or tell the agent with send_task_message.' })
  return words
}

function refusal(what: string, choices: readonly string[]): LongshoreError {
  return new LongshoreError('invalid_input', `answer: ${what}`, { field: 'answer', ...(choices.length === 0 ? {} : { next: 'Take one of the choices.' }) })
}
