import { type EventDraft, Failure, MAX_OUTPUT_CHARACTERS, TaskResult, TaskState } from '@longshore/contracts'
import { z } from 'zod'

import { fitEvents } from './fit-event.ts'
import type { Ended, Ending } from './ledger.ts'

/** The event's payload as JSON, sized to fit; attempt and duration are added by the script. */
export function endingPayload(ending: Ending): string {
  const draft = { type: `task.${ending.state}`, payload: bounded(ending.payload) } as EventDraft
  return JSON.stringify(fitEvents([draft])[0]?.payload)
}

/** The record's fields that an ending sets, as name and value in turn. */
export function endingFields({ payload }: Ending): string[] {
  const { result, failure, limit } = bounded(payload)
  return [
    ...(result === undefined ? [] : ['result', JSON.stringify(result)]),
    ...(failure === undefined ? [] : ['failure', JSON.stringify(failure)]),
    ...(limit === undefined ? [] : ['limit', limit]),
  ]
}

/** The answer of the scripts that end a task. @throws ZodError when Redis knows the task no more */
export function endedOf(answer: unknown): Ended {
  const [kind, state, durationMs] = answer as [string, unknown, number?]
  return { won: kind === 'won', state: TaskState.parse(state), ...(durationMs === undefined ? {} : { durationMs }) }
}

interface EndingWords { result?: TaskResult | undefined; failure?: Failure; limit?: string }

/** As much of the words as readers can parse: a backend's defect must cost neither the end (G9) nor the record. */
function bounded(payload: Ending['payload']): EndingWords {
  const words: EndingWords = payload
  return {
    ...words,
    ...(words.result === undefined ? {} : { result: ReadableResult.parse(words.result) }),
    ...(words.failure === undefined ? {} : { failure: ReadableFailure.parse(words.failure) }),
  }
}

const MAX_MESSAGE_CHARACTERS = Failure.shape.message.maxLength ?? 0

/** A failure as far as this build can read it: a newer one may know more codes. */
export const ReadableFailure = z.object({
  code: Failure.shape.code.catch('internal'),
  message: z.string().catch('').transform((text) => text.slice(0, MAX_MESSAGE_CHARACTERS).toWellFormed()),
})

const ReadableResult = TaskResult.extend({
  output: z.string().catch(''),
  output_truncated: z.boolean().catch(true),
  exit_code: TaskResult.shape.exit_code.catch(undefined),
  files_changed: TaskResult.shape.files_changed.catch(0),
  usage: TaskResult.shape.usage.catch(undefined),
  git: TaskResult.shape.git.catch(undefined),
}).transform((result) => {
  if (result.output.length <= MAX_OUTPUT_CHARACTERS) return result
  return { ...result, output: result.output.slice(-MAX_OUTPUT_CHARACTERS).toWellFormed(), output_truncated: true }
})
