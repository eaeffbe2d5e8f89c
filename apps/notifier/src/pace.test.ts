import { expect, test } from 'vitest'

import { backoffMs } from './pace.ts'

test('the wait after faults doubles, is capped, and is spread by up to a quarter', () => {
  expect([1, 2, 3, 20].map((n) => backoffMs(n, 0))).toEqual([250, 500, 1_000, 15_000])
  expect(backoffMs(2, 1)).toBe(375)
})
