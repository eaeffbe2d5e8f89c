import { expect, test } from 'vitest'
import type { Command } from './command.ts'
import { parseCommandLine } from './command-line.ts'

const command = (name: string, words: string[] = []): Command => ({
  name, words, about: '', options: { reason: { type: 'string', about: '' }, json: { type: 'boolean', about: '' } }, run: () => Promise.resolve(0),
})
const COMMANDS = [command('submit', ['"PROMPT"']), command('keys make'), command('keys list'), command('cancel', ['TASK'])]
const parse = (...args: string[]) => parseCommandLine(args, COMMANDS)

test('a command gets its words and options, in any order', () => {
  const request = parse('cancel', '--reason', 'too slow', 'task-1', '--json')
  expect(request).toMatchObject({ kind: 'run', command: { name: 'cancel' }, input: { words: ['task-1'], options: { reason: 'too slow', json: true } } })
})

test('after -- nothing is an option: a prompt may begin with dashes', () => {
  expect(parse('submit', '--', '--help me')).toMatchObject({ kind: 'run', input: { words: ['--help me'] } })
})

test.each([[[]], [['--help']], [['-h']], [['help']], [['keys', '--help']]])('%j asks for the page of all commands', (args) => {
  expect(parse(...args)).toEqual({ kind: 'help' })
})

test.each([[['submit', '--help']], [['submit', 'x', '-h']], [['help', 'submit']]])('%j asks for the page of submit', (args) => {
  expect(parse(...args)).toMatchObject({ kind: 'help', command: { name: 'submit' } })
})

test.each([
  [['nope'], 'There is no command "nope". See: longshore --help'],
  [['nope', '--help'], 'There is no command "nope"'],
  [['help', 'nope'], 'There is no command "nope"'],
  [['--nope'], 'There is no option "--nope". See: longshore --help'],
  [['keys'], 'longshore keys: say which one: make, list. See: longshore --help'],
  [['keys', 'burn'], 'longshore keys: say which one: make, list'],
  [['submit'], 'longshore submit: "PROMPT" is missing.\nSee: longshore submit --help'],
  [['submit', 'fix', 'it'], 'longshore submit: "it" is one word too many. Put a text of several words in quotes.'],
  [['cancel', 'a', 'b'], 'longshore cancel: "b" is one word too many.\nSee'],
  [['cancel', 'a', '--nope'], "longshore cancel: Unknown option '--nope'.\nSee: longshore cancel --help"],
  [['cancel', 'a', '--reason'], "longshore cancel: Option '--reason <value>' argument missing.\nSee"],
  [['cancel', 'a', '--json=1'], "longshore cancel: Option '--json' does not take an argument.\nSee"],
])('%j is refused in a sentence that says what to do', (args, message) => {
  expect(() => parse(...args)).toThrow(message)
})
