import type { Command } from './command.ts'
import { columns, type Terminal } from './terminal.ts'

/** The page of all commands. */
export function showHelp(commands: readonly Command[], terminal: Terminal): void {
  terminal.say('Longshore: a durable, queue-backed orchestrator for coding agents')
  terminal.say()
  terminal.say(terminal.paint('bold', 'Usage') + '  longshore COMMAND [options]')
  terminal.say()
  for (const line of columns(commands.map((command) => [`  ${usage(command)}`, command.about]))) terminal.say(line)
  terminal.say()
  terminal.say('longshore COMMAND --help shows the options of one. Settings come from the environment: longshore settings')
}

/** The page of one command. */
export function showCommandHelp(command: Command, terminal: Terminal): void {
  const options = Object.entries(command.options)
  terminal.say(command.about)
  terminal.say()
  terminal.say(`${terminal.paint('bold', 'Usage')}  longshore ${usage(command)}${options.length === 0 ? '' : ' [options]'}`)
  if (options.length > 0) terminal.say()
  for (const line of columns(options.map(([name, { value, about, short }]) => [`  ${short === undefined ? '' : `-${short}, `}--${name}${value === undefined ? '' : ` ${value}`}`, about]))) terminal.say(line)
  if (command.notes !== undefined) terminal.say()
  for (const note of command.notes ?? []) terminal.say(note)
}

const usage = ({ name, words }: Command): string => [name, ...words].join(' ')
