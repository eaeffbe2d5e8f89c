import { expect, test } from 'vitest'

import { createAsks } from './asks.ts'

const TWO = { id: 'que_1', sessionId: 's', questions: ['Which?', 'And?'].map((question) => ({ question, options: [{ label: 'a' }, { label: 'b' }] })) }

/** @param failures calls that it does not answer before it does */
function server(failures = 0) {
  let left = failures
  const sent: string[][][] = []
  const api = {
    asks: () => Promise.resolve({ permissions: [], questions: sent.length === 0 ? [TWO] : [] }),
    parentOf: () => Promise.resolve(undefined),
    allow: () => Promise.resolve('gone' as const), refuse: () => Promise.resolve('gone' as const),
    answerQuestion: (_id: string, answers: string[][]) => {
      if (left-- > 0) return Promise.reject(new Error('away'))
      sent.push(answers)
      return Promise.resolve('answered' as const)
    },
  }
  return { sent, open: () => createAsks(api, 's', (text) => text, { confirmClaim: () => Promise.resolve() }) }
}

test('G7: of several questions of one request each answer is kept until all are there; who takes over in between gives it again', async () => {
  const { sent, open } = server()
  const [first] = await open().list()
  expect(await first?.answer({ choices: ['b'] })).toBe('kept')
  const [again, second] = await open().list()
  expect(await second?.answer({ choices: ['a'] })).toBe('kept')
  expect(sent).toEqual([])
  expect(await again?.answer({ choices: ['b'] })).toBe('answered')
  expect(sent).toEqual([[['b'], ['a']]])
})

test('an answer that the server did not take is given whole when it is given again', async () => {
  const { sent, open } = server(1)
  const [first, second] = await open().list()
  expect(await first?.answer({ choices: ['b'] })).toBe('kept')
  await expect(second?.answer({ choices: ['a'] })).rejects.toThrow('away')
  expect(await second?.answer({ choices: ['a'] })).toBe('answered')
  expect(sent).toEqual([[['b'], ['a']]])
})
