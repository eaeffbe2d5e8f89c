import { expect, test } from 'vitest'
import { formatLogLine, parseLogLine } from './log-line.ts'

const NOW = new Date(2026, 10, 23, 12, 3, 44)
const bare = (_style: unknown, text: string): string => text
const shown = (line: string): string => formatLogLine(parseLogLine(line, NOW), 'worker', 1, bare)

test('a record becomes time, name, message and its fields', () => {
  const line = JSON.stringify({ level: 30, time: NOW.toISOString(), app: 'worker', msg: 'task taken', task: 'task-1', modes: ['docker'], title: 'two words' })
  expect(shown(line)).toBe('12:03:44 worker    task taken task=task-1 modes=["docker"] title="two words"')
})

test('warnings and errors say so, with the reason', () => {
  expect(shown(JSON.stringify({ level: 40, time: NOW.getTime(), msg: 'slow' }))).toBe('12:03:44 worker    warning slow')
  expect(shown(JSON.stringify({ level: 50, time: NOW.getTime(), msg: 'lost', err: { message: 'ECONNRESET', stack: 'at x' } }))).toBe('12:03:44 worker    error lost (ECONNRESET)')
})

test.each(['plain words', '{"half', '{"msg":"no level"}', ''])('what is no record is shown as it is: %j', (line) => {
  expect(shown(line)).toBe(`12:03:44 worker    ${line}`)
})

test('nothing in a line is obeyed by the terminal', () => {
  const line = JSON.stringify({ level: 30, time: 'never', msg: 'a\u001B[2J\nb', 'f\u001B[31m': '\u001B]0;title\u0007' })
  expect(shown(line)).toBe('12:03:44 worker    a[2J ⏎ b f[31m=]0;title')
})
