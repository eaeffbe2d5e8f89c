import { expect, test } from 'vitest'

import { parseRange } from './byte-range.ts'

test.each([
  ['bytes=0-3', { start: 0, end: 4 }], ['bytes=5-', { start: 5, end: 10 }], ['bytes=-3', { start: 7, end: 10 }], ['bytes=-99', { start: 0, end: 10 }], ['bytes=8-99', { start: 8, end: 10 }],
  ['bytes=10-', 'unsatisfiable'], ['bytes=-0', 'unsatisfiable'], ['bytes=5-4', undefined], ['bytes=-', undefined], ['bytes=0-1,3-4', undefined], ['lines=0-1', undefined], [undefined, undefined],
])('%s of 10 bytes', (header, expected) => {
  expect(parseRange(header, 10)).toEqual(expected)
})

test('of nothing there is no part', () => {
  expect(parseRange('bytes=0-', 0)).toBe('unsatisfiable')
})
