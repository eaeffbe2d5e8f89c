import { afterEach } from 'vitest'

import type { Stack } from './stack.ts'

/** Shows what the apps of a stack wrote when a test failed. To be called once per file or suite. */
export function showLogsOfFailures(stack: () => Stack | undefined): void {
  afterEach(({ task }) => {
    if (task.result?.state === 'fail') console.error(`--- logs of the stack after "${task.name}"\n${stack()?.logs() ?? 'it did not start'}\n---`)
  })
}
