import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

export interface CommandOptions {
  readonly cwd?: string
  readonly env?: NodeJS.ProcessEnv
}

/**
 * Runs a program to its end.
 * @returns its standard output, trimmed
 * @throws Error with the command and the end of its standard error
 */
export async function runCommand(program: string, words: readonly string[], options: CommandOptions = {}): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)(program, words, { ...options, maxBuffer: 64 << 20 })
    return stdout.trim()
  } catch (error) {
    throw new Error(`${program} ${words.slice(0, 3).join(' ')} failed: ${lastLines(error)}`, { cause: error })
  }
}

/** Whether it ends with exit code 0. */
export async function succeeds(program: string, words: readonly string[], options: CommandOptions = {}): Promise<boolean> {
  return runCommand(program, words, options).then(
    () => true,
    () => false,
  )
}

function lastLines(error: unknown): string {
  const text = error instanceof Error && 'stderr' in error && error.stderr !== '' ? String(error.stderr) : String(error)
  return text.trim().split('\n').slice(-5).join('\n')
}
