import { expect, test } from 'vitest'
import { columns, createTerminal, duration, plain, wantsColours } from './terminal.ts'

test('a text from outside cannot move the cursor, colour, ring or reorder', () => {
  expect(plain('a\u001B[2Jb\u0007c\u009B31md\u202Eefg')).toBe('a[2Jbc31mdefg')
  expect(plain('one\r\n\n  two')).toBe('one ⏎ two')
})

test('a long text is cut, never inside a character', () => {
  expect(plain('x'.repeat(300), 10)).toBe(`${'x'.repeat(9)}…`)
  expect(plain('🚢'.repeat(10), 4).isWellFormed()).toBe(true)
})

test.each([[0, '0 ms'], [850, '850 ms'], [12_345, '12.3 s'], [245_000, '4 min 5 s'], [240_000, '4 min'], [59_970, '60.0 s'], [7_500_000, '2 h 5 min'], [86_400_000, '1 d'], [275_000_000, '3 d 4 h']])('%d ms reads %s', (ms, text) => {
  expect(duration(ms)).toBe(text)
})

test('columns line up, and the last one is not padded', () => {
  expect(columns([['a', 'bb', 'c'], ['aaa', 'b', 'cc']])).toEqual(['a    bb  c', 'aaa  b   cc'])
})

test('a coloured cell takes the room of its text', () => {
  expect(columns([['\u001B[31ma\u001B[39m', 'x'], ['bb', 'x']])).toEqual(['\u001B[31ma\u001B[39m   x', 'bb  x'])
})

test.each([
  [{}, true, true], [{}, false, false], [{ NO_COLOR: '1' }, true, false], [{ NO_COLOR: '1', FORCE_COLOR: '1' }, true, false],
  [{ FORCE_COLOR: '1' }, false, true], [{ FORCE_COLOR: '0' }, true, false], [{ TERM: 'dumb' }, true, false], [{ NO_COLOR: '' }, true, true],
])('with %j and a terminal: %s, colours are %s', (env, isTerminal, wanted) => {
  expect(wantsColours(env, isTerminal)).toBe(wanted)
})

test('without colours a painted text is the text', () => {
  const sink = { write: () => true }
  expect(createTerminal(sink, sink, false).paint('red', 'x')).toBe('x')
  expect(createTerminal(sink, sink, true).paint('red', 'x')).toBe('\u001B[31mx\u001B[39m')
})
