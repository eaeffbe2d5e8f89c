import { expect, test } from 'vitest'

import { afterFailure } from './after-failure.ts'

const busy = { code: 'provider_busy', message: 'try later' } as const
const first = { attempt: 1, max_attempts: 3, deadline_at: 1_000_000 }
const step = (more: Partial<Parameters<typeof afterFailure>[0]> = {}) =>
  afterFailure({ failure: busy, task: first, isCounted: true, now: 0, retryDelayMs: 2_000, chance: 0, ...more })

test('a cause that may pass is tried again, each time after twice as long, with some chance', () => {
  expect(step()).toEqual({ kind: 'retry', delayMs: 2_000 })
  expect(step({ task: { ...first, attempt: 2 } })).toEqual({ kind: 'retry', delayMs: 4_000 })
  expect(step({ chance: 1 })).toEqual({ kind: 'retry', delayMs: 2_500 })
})

test('a cause that stays, the last attempt and a deadline before the next one end the task', () => {
  expect(step({ failure: { code: 'agent_error', message: 'exit 1' } })).toEqual({ kind: 'end' })
  expect(step({ task: { ...first, attempt: 3 } })).toEqual({ kind: 'end' })
  expect(step({ now: 999_000 })).toEqual({ kind: 'end' })
})

test('an attempt that does not count is tried again also when it is the last one, unless the cause stays', () => {
  expect(step({ isCounted: false, task: { ...first, attempt: 3 } })).toEqual({ kind: 'retry', delayMs: 8_000 })
  expect(step({ isCounted: false, failure: { code: 'bad_credentials', message: 'no' } })).toEqual({ kind: 'end' })
})
