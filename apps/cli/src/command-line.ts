import { parseArgs } from 'node:util'
import { type Command, Complaint, type Input } from './command.ts'

export type Request =
  | { kind: 'run'; command: Command; input: Input }
  | { kind: 'help'; command?: Command }

/**
 * What the arguments ask for.
 * @throws Complaint for an unknown command, an unknown option, a missing or a superfluous word
 */
export function parseCommandLine(args: readonly string[], commands: readonly Command[]): Request {
  const command = commands.find(({ name }) => startsWith(args, name.split(' ')))
  if (command === undefined) return withoutCommand(args, commands)
  const rest = args.slice(command.name.split(' ').length)
  if (beforeDashes(rest).some(isHelpFlag)) return { kind: 'help', command }
  return { kind: 'run', command, input: parseInput(rest, command) }
}

function withoutCommand(args: readonly string[], commands: readonly Command[]): Request {
  const [first, ...rest] = args
  const wantsHelp = first === undefined || first === 'help' || args.some(isHelpFlag)
  if (first === 'help' && rest.length > 0) return { kind: 'help', command: known(rest, commands) }
  if (wantsHelp && (first === undefined || first === 'help' || isHelpFlag(first) || commands.some(({ name }) => name.startsWith(`${first} `)))) return { kind: 'help' }
  throw unknownCommand(args, commands)
}

function parseInput(args: readonly string[], command: Command): Input {
  const options = Object.fromEntries(Object.entries(command.options).map(([name, { type, multiple = false, short }]) => [name, { type, multiple, ...(short === undefined ? {} : { short }) }]))
  const parsed = attempt(() => parseArgs({ args: [...args], options, allowPositionals: true, strict: true }), command)
  const missing = command.words[parsed.positionals.length]
  if (missing !== undefined) throw new Complaint(`longshore ${command.name}: ${missing} is missing.\n${hint(command)}`)
  const extra = parsed.positionals[command.words.length]
  if (extra !== undefined) {
    const quotes = command.words.some((word) => word.startsWith('"')) ? ' Put a text of several words in quotes.' : ''
    throw new Complaint(`longshore ${command.name}: "${extra}" is one word too many.${quotes}\n${hint(command)}`)
  }
  return { options: parsed.values, words: parsed.positionals }
}

function attempt<T>(parse: () => T, command: Command): T {
  try {
    return parse()
  } catch (error) {
    // Node's sentences name the option and what is wrong; its second one, about `--`, helps nobody here.
    const reason = error instanceof Error ? (error.message.split(/\. To specify/)[0] ?? error.message) : String(error)
    throw new Complaint(`longshore ${command.name}: ${reason}.\n${hint(command)}`.replace('..\n', '.\n'), { cause: error })
  }
}

function known(words: readonly string[], commands: readonly Command[]): Command {
  const command = commands.find(({ name }) => startsWith(words, name.split(' ')))
  if (command === undefined) throw unknownCommand(words, commands)
  return command
}

function unknownCommand(words: readonly string[], commands: readonly Command[]): Complaint {
  const [first = ''] = words
  if (first.startsWith('-')) return new Complaint(`There is no option "${first}". See: longshore --help`)
  const family = commands.filter(({ name }) => name.startsWith(`${first} `))
  if (family.length === 0) return new Complaint(`There is no command "${first}". See: longshore --help`)
  return new Complaint(`longshore ${first}: say which one: ${family.map(({ name }) => name.slice(first.length + 1)).join(', ')}. See: longshore --help`)
}

const hint = ({ name }: Command): string => `See: longshore ${name} --help`
const isHelpFlag = (arg: string): boolean => arg === '--help' || arg === '-h'
const startsWith = (args: readonly string[], words: readonly string[]): boolean => words.every((word, i) => args[i] === word)

function beforeDashes(args: readonly string[]): readonly string[] {
  const dashes = args.indexOf('--')
  return dashes === -1 ? args : args.slice(0, dashes)
}
