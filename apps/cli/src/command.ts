import type { Settings } from '@longshore/runtime'
import type { Terminal } from './terminal.ts'

type Environment = Readonly<Record<string, string | undefined>>

/** What every command gets besides its own arguments. */
export interface Context {
  terminal: Terminal
  env: Environment
  /** The environment, parsed when first asked for: `--help` works with a broken one. @throws SettingsError */
  settings(): Settings
  /** Aborted when the person wants it to stop. */
  signal: AbortSignal
}

export interface Option {
  type: 'string' | 'boolean'
  /** May be given more than once: then its value is a list. */
  multiple?: true
  /** One letter: `o` for `-o`. */
  short?: string
  /** What stands for the value in the help: `ID`. */
  value?: string
  about: string
}

export interface Input {
  options: Readonly<Record<string, string | boolean | (string | boolean)[] | undefined>>
  words: readonly string[]
}

export interface Command {
  /** `submit`, `keys make`. */
  name: string
  /** What follows the name: `"PROMPT"`. One word each; all are needed. */
  words: readonly string[]
  about: string
  options: Readonly<Record<string, Option>>
  /** Lines under the options: examples, what it returns. */
  notes?: readonly string[]
  /** Does it. @returns the exit code. @throws Complaint, SettingsError, LongshoreError: shown in one line each, exit code 1 */
  run(input: Input, context: Context): Promise<number>
}

/** Something the person at the terminal can put right. The message is all they see. */
export class Complaint extends Error {
  override readonly name = 'Complaint'
}
