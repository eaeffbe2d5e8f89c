import { spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'
import type { Workspace } from './storage.ts'

/** No scan may hold a task up longer than this; a tree that takes longer is reported at its next change. */
const GIT_TIMEOUT_MS = 60_000

/** Where a system's own git is; the caller's PATH is not ours to read. */
const SYSTEM_PATH = '/usr/local/bin:/usr/bin:/bin:/opt/homebrew/bin'

/**
 * Runs git on a work tree that may be hostile, through our own git directory: no configuration but ours, no hooks,
 * no filters (`info/attributes` of the baseline), no fsmonitor, no prompt. Resolves with stdout; rejects on any exit code but 0.
 */
export async function gitOf(workspace: Workspace, args: readonly string[], stdin?: string): Promise<string> {
  return runGit(args, { GIT_DIR: workspace.baseline, GIT_WORK_TREE: workspace.repo }, workspace.repo, stdin)
}

/** Runs git with nothing of the user's or the machine's configuration. */
export async function runGit(args: readonly string[], env: Record<string, string>, cwd: string, stdin = ''): Promise<string> {
  const hardening = ['-c', 'core.hooksPath=/dev/null', '-c', 'core.fsmonitor=false', '-c', 'core.untrackedCache=false', '-c', 'protocol.file.allow=never', '-c', 'core.quotePath=false']
  const child = spawn('git', [...hardening, ...args], {
    cwd,
    stdio: ['pipe', 'pipe', 'pipe'],
    timeout: GIT_TIMEOUT_MS,
    killSignal: 'SIGKILL',
    env: {
      PATH: SYSTEM_PATH, LC_ALL: 'C', HOME: '/nonexistent',
      GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1', GIT_TERMINAL_PROMPT: '0', GIT_ATTR_NOSYSTEM: '1',
      GIT_AUTHOR_NAME: 'Longshore', GIT_AUTHOR_EMAIL: 'longshore@localhost', GIT_COMMITTER_NAME: 'Longshore', GIT_COMMITTER_EMAIL: 'longshore@localhost',
      ...env,
    },
  })
  const ended = new Promise<number | NodeJS.Signals>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => resolve(code ?? signal ?? 'SIGKILL'))
  })
  child.stdin.on('error', () => {}) // it may end before it has read everything; its exit code says why
  child.stdin.end(stdin)
  const [out, complaint, code] = await Promise.all([text(child.stdout), text(child.stderr), ended])
  if (code !== 0) throw new Error(`git ${args[0] ?? ''} ended with ${code}: ${complaint.trim().slice(0, 500)}`)
  return out
}
