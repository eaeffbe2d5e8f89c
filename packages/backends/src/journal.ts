import { type ExecutionEvent, MAX_OUTPUT_CHARACTERS, type TaskResult, type Usage } from '@longshore/contracts'

/** Sums up what was said and used, for the result of a task. */
export interface Journal {
  add(events: readonly ExecutionEvent[]): void
  /** What was said so far; the end of it when that is long. */
  said(): string
  /** @param filesChanged how many files differ from the baseline */
  result(filesChanged: number, exitCode?: number): TaskResult
}

export function createJournal(): Journal {
  let output = ''
  let isTruncated = false
  let usage: Usage | undefined
  return {
    add: (events) => {
      for (const event of events) {
        if (event.type === 'task.usage') usage = sum(usage, event.payload)
        if (event.type === 'task.output') {
          output += event.payload.text
          if (output.length > MAX_OUTPUT_CHARACTERS) {
            isTruncated = true
            output = output.slice(-MAX_OUTPUT_CHARACTERS).toWellFormed()
          }
        }
      }
    },
    said: () => output,
    result: (filesChanged, exitCode) => ({
      output, output_truncated: isTruncated, files_changed: filesChanged,
      ...(exitCode === undefined ? {} : { exit_code: exitCode }), ...(usage === undefined ? {} : { usage }),
    }),
  }
}

function sum(a: Usage | undefined, b: Usage): Usage {
  if (a === undefined) return b
  const of = (key: keyof Usage): number => Math.min(Number.MAX_SAFE_INTEGER, a[key] + b[key])
  return {
    input_tokens: of('input_tokens'), output_tokens: of('output_tokens'), reasoning_tokens: of('reasoning_tokens'),
    cache_read_tokens: of('cache_read_tokens'), cache_write_tokens: of('cache_write_tokens'), cost_micros: of('cost_micros'),
  }
}
