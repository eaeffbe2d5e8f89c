import { expect, test } from 'vitest'

import { afterLimit, afterSent, backoffMs, editsWaitMs, FREE } from './pace.ts'

test('a receiver that never refused is not waited for', () => {
  expect(editsWaitMs(afterSent(FREE, 1_000_000), 1_000_000)).toBe(0)
})

test('after a refusal edits wait until a reserve of three and their own token are there', () => {
  const limited = afterLimit(FREE, 1_000, 5_000)
  expect(editsWaitMs(limited, 1_000)).toBe(20_000)
  expect(editsWaitMs(limited, 21_000)).toBe(0)
  expect(editsWaitMs(afterSent(limited, 21_000), 21_000)).toBe(5_000)
})

test('the longest wait named is taken for the interval', () => {
  const pace = afterLimit(afterLimit(FREE, 0, 10_000), 1_000, 1_000)
  expect(pace).toMatchObject({ intervalMs: 10_000, tokens: 0.9 })
})

test('a first wait shorter than five seconds is a part of such an interval', () => {
  expect(afterLimit(FREE, 0, 1_500)).toMatchObject({ intervalMs: 5_000, tokens: 0.7 })
})

test('without a refusal for five minutes the limit is forgotten', () => {
  expect(afterSent(afterLimit(FREE, 0, 5_000), 300_001)).toBe(FREE)
})

test('the wait after faults doubles, is capped, and is spread by up to a quarter', () => {
  expect([1, 2, 3, 20].map((n) => backoffMs(n, 0))).toEqual([250, 500, 1_000, 15_000])
  expect(backoffMs(2, 1)).toBe(375)
})
