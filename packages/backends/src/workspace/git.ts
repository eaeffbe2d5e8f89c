import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { withGitFolder } from './own-folder.ts'
import type { Workspace } from './storage.ts'

/** Nothing that an agent puts into its tree (a pipe named .gitignore, patterns that match for ever) may hold its task up longer than this. */
const GIT_TIMEOUT_MS = 20_000
/** A million names; a tree of more is not listed rather than held in memory. */
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024
const MAX_COMPLAINT_BYTES = 64 * 1024
/** Git takes as much as an agent's .gitignore seems to be long, holes and all. */
const MAX_MEMORY_KIB = 4 * 1024 * 1024
const OUT_OF_MEMORY = /out of memory|cannot allocate memory/i

/** git did not come to an end in time, said too much, or needed more memory than it may have. */
export class GitCutShort extends Error {
  override readonly name = 'GitCutShort'
}

/** Where a system's own git is; the caller's PATH is not ours to read. */
export const SYSTEM_PATH = '/usr/local/bin:/usr/bin:/bin:/opt/homebrew/bin'
/** Where memory ends sooner than that, as in a container, git is what the kernel takes, not the worker. */
const LIMITED = 'ulimit -v "$1" 2>/dev/null || :; ulimit -f "$2" 2>/dev/null || :; { echo 1000 > /proc/self/oom_score_adj; } 2>/dev/null || :; shift 2; exec "$@"'
/** In what `ulimit -f` counts, by POSIX. */
const FILE_BLOCK_BYTES = 512
/** A git that waits at a pipe waits for ever: it goes with the worker, however that goes. Linux has this. */
export const WITH_US = existsSync('/usr/bin/setpriv') ? ['/usr/bin/setpriv', '--pdeathsig', 'KILL'] : []

/**
 * Runs git on a work tree that may be hostile, through a git directory out of its agent's reach: no configuration but ours, no hooks,
 * no filters, no fsmonitor, no prompt. The baseline gives objects and index, which are data. Resolves with stdout; rejects on any exit code but 0.
 * @throws GitCutShort
 */
export async function gitOf(workspace: Workspace, args: readonly string[], stdin?: string, options: GitOptions = {}): Promise<string> {
  return withGitFolder((folder) => runGit(args, {
    GIT_DIR: folder, GIT_OBJECT_DIRECTORY: join(workspace.baseline, 'objects'), GIT_INDEX_FILE: join(workspace.baseline, 'index'), GIT_WORK_TREE: workspace.repo,
  }, workspace.repo, stdin, options))
}

/** Runs git with nothing of the user's or the machine's configuration. */
export async function runGit(args: readonly string[], env: Record<string, string>, cwd: string, stdin = '', options: GitOptions = {}): Promise<string> {
  const { bytes, isCut } = await gitHead(args, env, cwd, { ...options, stdin })
  if (isCut) throw new GitCutShort(`git ${args[0] ?? ''} said more than ${MAX_OUTPUT_BYTES} bytes`)
  return bytes.toString('utf8')
}

export interface GitOptions { stdin?: string | Uint8Array | AsyncIterable<Uint8Array>; maxBytes?: number; maxMemoryKib?: number; signal?: AbortSignal
  timeoutMs?: number
  /** Of any file that git writes. */
  maxFileBytes?: number
  /** What of git's complaints may be told. */
  clean?: (text: string) => string
  /** It starts programs of its own that talk to a server: all end with it, also when it is the worker that dies. */
  isRemote?: boolean
}

/**
 * The beginning of what git says, as bytes; `isCut`: it had more to say than `maxBytes` and was ended there. Otherwise as `runGit`.
 * @throws GitCutShort, and what `stdin` throws
 */
export async function gitHead(args: readonly string[], env: Record<string, string>, cwd: string, options: GitOptions = {}): Promise<{ bytes: Buffer; isCut: boolean }> {
  const { stdin = '', maxBytes = MAX_OUTPUT_BYTES, maxMemoryKib = MAX_MEMORY_KIB, signal, timeoutMs = GIT_TIMEOUT_MS, isRemote = false, clean = (text) => text } = options
  signal?.throwIfAborted()
  const blocks = options.maxFileBytes === undefined ? 'unlimited' : String(Math.ceil(options.maxFileBytes / FILE_BLOCK_BYTES))
  const hardening = ['-c', 'core.hooksPath=/dev/null', '-c', 'core.fsmonitor=false', '-c', 'core.untrackedCache=false', '-c', 'protocol.file.allow=never', '-c', 'core.quotePath=false']
  const child = spawn('/bin/sh', ['-c', LIMITED, 'sh', String(maxMemoryKib), blocks, ...(isRemote ? groupFor(timeoutMs) : WITH_US), 'git', ...hardening, ...args], {
    cwd,
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: isRemote, // a group of its own
    env: {
      PATH: SYSTEM_PATH, LC_ALL: 'C', HOME: '/nonexistent', MALLOC_ARENA_MAX: '2',
      GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1', GIT_TERMINAL_PROMPT: '0', GIT_ATTR_NOSYSTEM: '1',
      GIT_AUTHOR_NAME: 'Longshore', GIT_AUTHOR_EMAIL: 'longshore@localhost', GIT_COMMITTER_NAME: 'Longshore', GIT_COMMITTER_EMAIL: 'longshore@localhost',
      ...env,
    },
  })
  const stop = () => killAll(child, isRemote)
  const timer = setTimeout(stop, timeoutMs)
  signal?.addEventListener('abort', stop, { once: true })
  let broken: { error: unknown } | undefined
  const ended = new Promise<number | undefined>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve(code ?? undefined))
  })
  child.stdin.on('error', () => {}) // it may end before it has read everything; its exit code says why
  if (typeof stdin === 'string' || stdin instanceof Uint8Array) child.stdin.end(stdin)
  else pipeline(stdin, child.stdin).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE' && error.code !== 'ERR_STREAM_PREMATURE_CLOSE') broken = { error }
    stop()
  })
  const [out, said, code] = await Promise.all([head(child.stdout, maxBytes, stop), tail(child.stderr, MAX_COMPLAINT_BYTES), ended]).finally(() => {
    clearTimeout(timer)
    signal?.removeEventListener('abort', stop)
  })
  signal?.throwIfAborted()
  const complaint = clean(said)
  if (broken !== undefined) throw broken.error
  if (out.isCut) return out
  if (code === undefined) throw new GitCutShort(`git ${args[0] ?? ''} took longer than ${timeoutMs / 1000} s`)
  if (code !== 0 && OUT_OF_MEMORY.test(complaint)) throw new GitCutShort(`git ${args[0] ?? ''} needed more than ${maxMemoryKib} KiB of memory`)
  if (code !== 0) throw new Error(`git ${args[0] ?? ''} ended with ${code}: ${complaint.trim().slice(-500)}`)
  return out
}

/** `timeout` ends its whole group, at the latest when the time is over, and at once when the worker dies. */
function groupFor(timeoutMs: number): string[] {
  return [...WITH_US.map((word) => (word === 'KILL' ? 'TERM' : word)), 'timeout', '-s', 'KILL', String(Math.ceil(timeoutMs / 1000) + 1)]
}

function killAll(child: ChildProcess, isGroup: boolean): void {
  if (isGroup && child.pid !== undefined && child.exitCode === null && child.signalCode === null) process.kill(-child.pid, 'SIGKILL')
  else child.kill('SIGKILL')
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

/** The end of what was said: after any number of warnings the fault comes last. */
async function tail(stream: Readable, maxBytes: number): Promise<string> {
  let kept = Buffer.alloc(0)
  for await (const part of stream as AsyncIterable<Buffer>) kept = Buffer.concat([kept, part]).subarray(-maxBytes)
  return kept.toString('utf8')
}
