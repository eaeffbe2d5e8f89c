import { z } from 'zod'

export const InputKind = z.enum(['permission', 'question'])
export type InputKind = z.infer<typeof InputKind>

/** The answers to a permission: this once, for the rest of the task, or not at all. */
export const PERMISSION_CHOICES = ['allow', 'always', 'deny'] as const

/** Characters of a question; an event holds it with its choices. */
export const MAX_QUESTION_CHARACTERS = 4_000
export const MAX_CHOICES = 20
export const MAX_CHOICE_CHARACTERS = 200
export const MAX_ANSWER_CHARACTERS = 2_000
/** What one task may want to know at a time: an agent that asks more is refused the rest. */
export const MAX_OPEN_INPUTS = 20
/** One day: whoever has not answered by then will not. */
export const DEFAULT_INPUT_TTL_MS = 24 * 60 * 60 * 1_000

export const InputId = z.string().regex(/^input-[0-9a-f]{16}$/, 'an input id is "input-" and 16 hexadecimal digits')
export type InputId = z.infer<typeof InputId>

const wellFormed = (text: string) => text.isWellFormed()
export const AnswerText = z.string().max(MAX_ANSWER_CHARACTERS).refine(wellFormed, 'must be well-formed Unicode, without lone surrogates')

/** What an agent wants to know before it goes on. */
export const TaskInput = z.object({
  input_id: InputId,
  kind: InputKind,
  question: z.string(),
  /** What can be answered; of a permission `PERMISSION_CHOICES`. */
  choices: z.array(z.string()),
  /** Another text than a choice is an answer, too. */
  free_text: z.boolean(),
  /** More than one choice may be taken. */
  multiple: z.boolean(),
  /** Of a permission. */
  tool: z.string().optional(),
  /** The same for the same wish, whenever it is asked again. */
  print: z.string(),
  /** Redis time in ms. */
  asked_at: z.int(),
  /** For how long somebody may answer; then `unanswered` is the answer. It does not pass while the task is paused. */
  ttl_ms: z.int().positive(),
  /** What holds when nobody answers; of a question `deny` means that the agent goes on without. */
  unanswered: z.enum(['allow', 'deny']),
})
export type TaskInput = z.infer<typeof TaskInput>

/** What somebody answered. No choice at all: the question is not answered, and the agent goes on without. */
export const InputAnswer = z.object({
  choices: z.array(AnswerText).max(MAX_CHOICES),
  /** For the agent, besides: why not, what else. */
  message: AnswerText.optional(),
  by: z.string(),
})
export type InputAnswer = z.infer<typeof InputAnswer>

/** `answered`: the agent does not have it yet. `told`: it has it in words and may ask again. `used`: it has it. `withdrawn`: the agent does not ask any more. */
export const InputStatus = z.enum(['open', 'answered', 'told', 'used', 'withdrawn'])
export type InputStatus = z.infer<typeof InputStatus>

/** An input as the ledger keeps it. `expires_at`: Redis ms; absent while the task is paused, and once there is an answer. */
export type StoredInput = TaskInput & { status: InputStatus; answer?: InputAnswer; expires_at?: number }
