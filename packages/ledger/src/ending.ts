import { type EventDraft, MAX_OUTPUT_CHARACTERS, type TaskResult } from '@longshore/contracts'

import { fitEvents } from './fit-event.ts'
import type { Ending } from './ledger.ts'

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

interface EndingWords { result?: TaskResult | undefined; failure?: object; limit?: string }

function bounded(payload: Ending['payload']): EndingWords {
  const words: EndingWords = payload
  if (words.result === undefined || words.result.output.length <= MAX_OUTPUT_CHARACTERS) return words
  const output = words.result.output.slice(-MAX_OUTPUT_CHARACTERS).toWellFormed()
  return { ...words, result: { ...words.result, output, output_truncated: true } }
}
