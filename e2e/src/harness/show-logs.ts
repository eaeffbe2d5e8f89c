import { afterAll, afterEach } from 'vitest'

import type { Stack } from './stack.ts'

/** Shows what the apps of a stack wrote, once per file, when its first test failed. */
export function showLogsOfFailures(stack: () => Stack | undefined): void {
  let report: string | undefined
  afterEach(({ task }) => {
    if (task.result?.state === 'fail') report ??= `--- logs of the stack after "${task.name}"\n${stack()?.logs() ?? 'it did not start'}\n---`
  })
  afterAll(() => {
    if (report !== undefined) console.error(report)
  })
}
