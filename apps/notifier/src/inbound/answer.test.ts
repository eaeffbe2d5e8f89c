import { expect, test } from 'vitest'

import type { StoredInput } from '@longshore/contracts'
import { decide, readKey } from './answer.ts'

const question = (more: Partial<StoredInput> = {}): StoredInput => ({
  input_id: 'input-0000000000000001', kind: 'question', question: 'Which?', choices: ['red', 'blue'], free_text: false, multiple: false, print: 'p', asked_at: 1, ttl_ms: 1, unanswered: 'deny', status: 'open', ...more,
})
const permission = question({ kind: 'permission', choices: ['allow', 'always', 'deny'] })
const open = question({ choices: [], free_text: true })
const several = question({ choices: ['a', 'b, c', 'd'], multiple: true, free_text: true })

test.each([
  [permission, 'approve', '', { choices: ['allow'] }],
  [permission, 'approve', 'always', { choices: ['always'] }],
  [permission, 'approve', '2', { choices: ['always'] }],
  [permission, 'deny', '', { choices: ['deny'] }],
  [permission, 'deny', 'not today', { choices: ['deny'], message: 'not today' }],
  [permission, 'answer', '3', { choices: ['deny'] }],
  [question(), 'answer', 'blue', { choices: ['blue'] }],
  [question(), 'approve', '1', { choices: ['red'] }],
  [question(), 'deny', '', { choices: [] }],
  [question({ choices: ['yes'] }), 'approve', '', { choices: ['yes'] }],
  [question({ choices: ['10', '2'] }), 'answer', '2', { choices: ['2'] }],
  [open, 'answer', '42', { choices: ['42'] }],
  [several, 'answer', '1, 3', { choices: ['a', 'd'] }],
  [several, 'answer', '1 2', { choices: ['a', 'b, c'] }],
  [several, 'answer', 'b, c', { choices: ['b, c'] }],
  [several, 'answer', 'a, something else', { choices: ['a', 'something else'] }],
] as const)('an answer is taken as it is meant: %# %s %s', (input, way, words, expected) => {
  expect(decide(input, way, words)).toEqual(expected)
})

test.each([
  [question(), 'approve', '', 'Say which: 1 red, 2 blue.'],
  [question(), 'answer', 'green', 'Not an answer to this. 1 red, 2 blue.'],
  [question(), 'answer', '3', '1 red, 2 blue.'],
  [question(), 'deny', 'no', 'A question takes no reason'],
  [permission, 'approve', 'deny', 'to refuse it: !deny'],
  [permission, 'approve', '3', 'to refuse it: !deny'],
  [permission, 'deny', 'x'.repeat(2_001), '2001 characters; at most 2000'],
  [open, 'answer', 'x'.repeat(2_001), 'at most 2000 characters'],
  [open, 'approve', '', 'Say which: !answer text.'],
] as const)('what is no answer is refused with what is allowed: %# %s %s', (input, way, words, says) => {
  expect(() => decide(input, way, words)).toThrow(says)
})

test('emojis that decide are read with and without variation selector, and no others', () => {
  expect(['✅', '✅\uFE0F', '❌', '1\u20E3', '9\uFE0F\u20E3', '🔟'].map((key) => readKey(key))).toEqual([
    { way: 'approve', words: '' }, { way: 'approve', words: '' }, { way: 'deny', words: '' }, { way: 'answer', words: '1' }, { way: 'answer', words: '9' }, { way: 'answer', words: '10' },
  ])
  expect(['👍', '0\u20E3', '1', '✅✅', '', 'approve'].map((key) => readKey(key))).toEqual(Array.from({ length: 6 }, () => undefined))
})
