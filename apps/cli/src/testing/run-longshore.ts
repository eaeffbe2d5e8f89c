import { spawn } from 'node:child_process'
import { join } from 'node:path'

/** A `longshore` that runs, and what it has said so far. */
export interface RunningCommand {
  pid: number
  /** Standard output and standard error as they came. */
  said(): string
  complained(): string
  signal(name: NodeJS.Signals): void
  /** The exit code; the signal's name when it was killed. */
  ended: Promise<number | NodeJS.Signals | null>
  isOver(): boolean
}

const MAIN = join(import.meta.dirname, '../main.ts')
const ROOT = join(import.meta.dirname, '../../../..')

/** Runs the real program as a person would, with this environment and nothing else but PATH. */
export function runLongshore(args: readonly string[], env: Readonly<Record<string, string>> = {}): RunningCommand {
  return run(process.execPath, [MAIN, ...args], env)
}

/** Runs the command of the README in the checkout. */
export function runNpmStart(env: Readonly<Record<string, string>>): RunningCommand {
  return run('npm', ['start'], env)
}

function run(program: string, args: readonly string[], env: Readonly<Record<string, string>>): RunningCommand {
  const child = spawn(program, args, { cwd: ROOT, env: { PATH: process.env['PATH'] ?? '', ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  let complained = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => { said += text })
  child.stderr.setEncoding('utf8').on('data', (text: string) => { complained += text })
  return {
    pid: child.pid ?? 0,
    said: () => said,
    complained: () => complained,
    signal: (name) => void child.kill(name),
    isOver: () => child.exitCode !== null || child.signalCode !== null,
    ended: new Promise((resolve) => { child.once('close', (code, signal) => resolve(code ?? signal)) }),
  }
}

/** Runs it to its end. */
export async function longshore(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<{ code: number | NodeJS.Signals | null; said: string; complained: string }> {
  const running = runLongshore(args, env)
  const code = await running.ended
  return { code, said: running.said(), complained: running.complained() }
}
