import { spawn } from 'node:child_process'
import type { Readable } from 'node:stream'
import type { Workspace } from './storage.ts'

/** Nothing that an agent puts into its tree (a pipe named .gitignore, patterns that match for ever) may hold its task up longer than this. */
const GIT_TIMEOUT_MS = 20_000
/** A million names; a tree of more is not listed rather than held in memory. */
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024

/** git did not come to an end in time, or said too much. */
export class GitCutShort extends Error {
  override readonly name = 'GitCutShort'
}

/** Where a system's own git is; the caller's PATH is not ours to read. */
const SYSTEM_PATH = '/usr/local/bin:/usr/bin:/bin:/opt/homebrew/bin'

/**
 * Runs git on a work tree that may be hostile, through our own git directory: no configuration but ours, no hooks,
 * no filters (`info/attributes` of the baseline), no fsmonitor, no prompt. Resolves with stdout; rejects on any exit code but 0.
 * @throws GitCutShort
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
  const ended = new Promise<number | undefined>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve(code ?? undefined))
  })
  child.stdin.on('error', () => {}) // it may end before it has read everything; its exit code says why
  child.stdin.end(stdin)
  const [out, complaint, code] = await Promise.all([head(child.stdout, () => child.kill('SIGKILL')), head(child.stderr, () => child.kill('SIGKILL')), ended])
  if (code === undefined) throw new GitCutShort(`git ${args[0] ?? ''} took longer than ${GIT_TIMEOUT_MS / 1000} s or said more than ${MAX_OUTPUT_BYTES} bytes`)
  if (code !== 0) throw new Error(`git ${args[0] ?? ''} ended with ${code}: ${complaint.trim().slice(0, 500)}`)
  return out
}

async function head(stream: Readable, stop: () => void): Promise<string> {
  const parts: Buffer[] = []
  let bytes = 0
  for await (const part of stream as AsyncIterable<Buffer>) {
    bytes += part.length
    if (bytes <= MAX_OUTPUT_BYTES) parts.push(part)
    else stop()
  }
  return Buffer.concat(parts).toString('utf8')
}
