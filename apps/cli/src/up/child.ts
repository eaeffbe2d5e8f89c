import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

export interface ChildOptions {
  /** The script to run. */
  script: string
  /** The whole environment: nothing is inherited, and secrets go nowhere else (argv stands in process lists). */
  env: Readonly<Record<string, string>>
  onLine: (line: string) => void
}

export interface Child {
  pid: number | undefined
  /** Resolves when the process is gone and its output is read, with how it ended in words. Never rejects. */
  exited: Promise<string>
  /** SIGTERM; SIGKILL after `graceMs`. What is left of its process group goes with it. */
  stop(graceMs: number): Promise<void>
}

const LIFELINE = new URL('./end-with-supervisor.ts', import.meta.url).href

/**
 * Starts one program. It has a process group of its own, so that Ctrl-C in the terminal reaches the supervisor only,
 * and a channel whose end tells it that the supervisor is gone.
 */
export function startChild({ script, env, onLine }: ChildOptions): Child {
  const child = spawn(process.execPath, ['--import', LIFELINE, script], { env, detached: true, stdio: ['ignore', 'pipe', 'pipe', 'ipc'] })
  for (const stream of [child.stdout, child.stderr]) if (stream !== null) createInterface({ input: stream }).on('line', onLine)
  const exited = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message))
    // 'close', not 'exit': its last lines say why it ended.
    child.once('close', (code, signal) => resolve(signal === null ? `exit code ${code}` : signal))
    // A grandchild may hold the pipes open for as long as it lives.
    child.once('exit', (code, signal) => setTimeout(() => resolve(signal === null ? `exit code ${code}` : signal), 1_000).unref())
  })
  return {
    pid: child.pid,
    exited,
    async stop(graceMs) {
      const { pid } = child
      if (pid === undefined) return
      const kill = () => killGroup(pid)
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM')
      const timer = setTimeout(kill, graceMs)
      await exited
      clearTimeout(timer)
      kill()
    },
  }
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // Nobody is left in it: that is what was wanted.
  }
}
