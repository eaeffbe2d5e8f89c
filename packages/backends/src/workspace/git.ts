import { spawn } from 'node:child_process'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
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
  const { bytes, isCut } = await gitHead(args, env, cwd, { stdin })
  if (isCut) throw new GitCutShort(`git ${args[0] ?? ''} said more than ${MAX_OUTPUT_BYTES} bytes`)
  return bytes.toString('utf8')
}

export interface GitOptions { stdin?: string | Uint8Array | AsyncIterable<Uint8Array>; maxBytes?: number; signal?: AbortSignal }

/**
 * The beginning of what git says, as bytes; `isCut`: it had more to say than `maxBytes` and was ended there. Otherwise as `runGit`.
 * @throws GitCutShort
 */
export async function gitHead(args: readonly string[], env: Record<string, string>, cwd: string, { stdin = '', maxBytes = MAX_OUTPUT_BYTES, signal }: GitOptions = {}): Promise<{ bytes: Buffer; isCut: boolean }> {
  const hardening = ['-c', 'core.hooksPath=/dev/null', '-c', 'core.fsmonitor=false', '-c', 'core.untrackedCache=false', '-c', 'protocol.file.allow=never', '-c', 'core.quotePath=false']
  const child = spawn('git', [...hardening, ...args], {
    cwd,
    stdio: ['pipe', 'pipe', 'pipe'],
    timeout: GIT_TIMEOUT_MS,
    killSignal: 'SIGKILL',
    ...(signal === undefined ? {} : { signal }),
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
  if (typeof stdin === 'string' || stdin instanceof Uint8Array) child.stdin.end(stdin)
  else pipeline(stdin, child.stdin).catch(() => child.kill('SIGKILL'))
  const stop = () => child.kill('SIGKILL')
  const [out, complaint, code] = await Promise.all([head(child.stdout, maxBytes, stop), head(child.stderr, MAX_OUTPUT_BYTES, stop), ended])
  if (out.isCut) return out
  if (code === undefined) throw new GitCutShort(`git ${args[0] ?? ''} took longer than ${GIT_TIMEOUT_MS / 1000} s`)
  if (code !== 0) throw new Error(`git ${args[0] ?? ''} ended with ${code}: ${complaint.bytes.toString('utf8').trim().slice(0, 500)}`)
  return out
}

async function head(stream: Readable, maxBytes: number, stop: () => void): Promise<{ bytes: Buffer; isCut: boolean }> {
  const parts: Buffer[] = []
  let bytes = 0
  for await (const part of stream as AsyncIterable<Buffer>) {
    if (bytes < maxBytes) parts.push(part.subarray(0, maxBytes - bytes))
    bytes += part.length
    if (bytes > maxBytes) stop()
  }
  return { bytes: Buffer.concat(parts), isCut: bytes > maxBytes }
}
