import type { ExecutionEvent } from '@longshore/contracts'
import { expect, test } from 'vitest'

import { createLogShape, TOO_FAST } from './shape-log.ts'

const say = (text: string, stream: 'agent' | 'stdout' = 'agent'): ExecutionEvent => ({ type: 'task.output', payload: { text, stream } })
const tool: ExecutionEvent = { type: 'task.tool', payload: { tool: 'bash', title: 'ls', status: 'completed' } }
const textsOf = (events: readonly ExecutionEvent[]) => events.map((event) => (event.type === 'task.output' ? event.payload.text : event.type))

test('words of one stream that come together are one event; streams and what lies between them stay apart', () => {
  const shape = createLogShape(() => 0)
  expect(shape([say('a'), say('b'), say('c', 'stdout'), say('d'), tool, say('e'), say('f')])).toEqual([say('ab'), say('c', 'stdout'), say('d'), tool, say('ef')])
})

test('words are put together as far as an event holds them, however they are written in JSON', () => {
  const shape = createLogShape(() => 0)
  const words = [...Array.from({ length: 30 }, () => say('x'.repeat(1_000))), ...Array.from({ length: 30 }, () => say('\u001f'.repeat(1_000)))]
  const logged = textsOf(shape(words))
  expect(logged.join('')).toBe(textsOf(words).join(''))
  expect(Math.max(...logged.map((text) => Buffer.byteLength(JSON.stringify(text))))).toBeLessThanOrEqual(12 * 1024)
  expect(logged).toHaveLength(3 + 15)
})

test('output beyond the rate is left out, which the log says once; what the agent does goes in all the same', () => {
  let now = 0
  const shape = createLogShape(() => now)
  const logged: string[] = []
  // 500 words a second for a minute, each of them alone.
  for (; now < 60_000; now += 2) logged.push(...textsOf(shape([say(`${now}`)])))
  const marks = logged.filter((text) => text === TOO_FAST).length
  expect(logged.length - marks).toBeLessThanOrEqual(1_000 + 60 * 50)
  expect(logged.length - marks).toBeGreaterThan(1_000 + 50 * 50)
  expect(marks).toBeLessThanOrEqual(60)
  expect(logged).toContain(TOO_FAST)
  expect(textsOf(shape([tool, tool]))).toEqual(['task.tool', 'task.tool'])
  now += 60_000
  expect(textsOf(shape([say('calm again')]))).toEqual(['calm again'])
})

test('a long text costs as many events as it becomes', () => {
  const shape = createLogShape(() => 0)
  const long = 'x'.repeat(12 * 1024 * 600)
  expect(textsOf(shape([say(long)]))).toEqual([long])
  expect(textsOf(shape([say(long)]))).toEqual([long])
  expect(textsOf(shape([say(long)]))).toEqual([TOO_FAST])
  expect(textsOf(shape([say(long)]))).toEqual([])
})
