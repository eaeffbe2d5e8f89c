import { type EventDraft, MAX_OUTPUT_CHARACTERS, type TaskResult, TaskState } from '@longshore/contracts'

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

interface EndingWords { result?: TaskResult | undefined; failure?: object; limit?: string }

function bounded(payload: Ending['payload']): EndingWords {
  const words: EndingWords = payload
  if (words.result === undefined || words.result.output.length <= MAX_OUTPUT_CHARACTERS) return words
  const output = words.result.output.slice(-MAX_OUTPUT_CHARACTERS).toWellFormed()
  return { ...words, result: { ...words.result, output, output_truncated: true } }
}
