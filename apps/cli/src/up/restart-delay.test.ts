import { expect, test } from 'vitest'
import { restartDelayMs } from './restart-delay.ts'

test('each failure in a row waits twice as long, and the fifth is the last', () => {
  expect([1, 2, 3, 4, 5].map(restartDelayMs)).toEqual([250, 500, 1_000, 2_000, undefined])
})
