import { cp, mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { TaskFailure } from '@longshore/contracts'
import { chooseRef, patternsFor } from './choose-ref.ts'
import { GitCutShort, gitHead, type GitOptions, runGit } from './git.ts'
import type { WorkspaceLimits } from './git-access.ts'
import { askRemote, oneLine, type Remote } from './remote-git.ts'

export interface CloneOptions {
  remote: Remote
  ref?: string | undefined
  limits: WorkspaceLimits
  /** Of the whole of it. */
  timeoutMs: number
  signal: AbortSignal
}

/** What was checked out. */
export interface Cloned { commit: string; branch?: string | undefined }

const MAX_LISTING_BYTES = 1024 * 1024
/** "100644 blob" is not asked for: a size and a line's end, `-` for what is no file. */
const BYTES_PER_SIZE = 16

/**
 * One commit of a repository, in `draft`, which nobody else may know of. Git's own folder is in `folder` until all is done: it is what git
 * takes orders from, and only objects are ever elsewhere. Nothing of the repository is run: without configuration its attributes name filters that do not exist, hooks
 * are off, submodules are not looked at.
 * @throws TaskFailure `workspace`, `workspace_unreachable`
 */
export async function cloneInto(folder: string, draft: string, options: CloneOptions): Promise<Cloned> {
  const { remote, ref, limits, signal } = options
  const until = performance.now() + options.timeoutMs
  const gitDir = join(folder, '.git')
  const env = { GIT_DIR: gitDir, GIT_OBJECT_DIRECTORY: join(draft, '.git', 'objects'), GIT_WORK_TREE: draft }
  const bounded = (): GitOptions & { timeoutMs: number } => ({ signal, timeoutMs: Math.max(1, until - performance.now()), maxFileBytes: limits.bytes })
  const local = async (args: readonly string[], more: GitOptions = {}) => gitHead(args, env, draft, { ...bounded(), ...more })
  await mkdir(join(draft, '.git', 'objects'), { recursive: true, mode: 0o700 })
  await runGit(['init', '--quiet', '--template=', '--initial-branch=main', folder], { GIT_CEILING_DIRECTORIES: folder }, folder)
  const listing = await askRemote(remote, ['ls-remote', '--symref', '--', remote.url, ...patternsFor(ref)], env, folder, { ...bounded(), maxBytes: MAX_LISTING_BYTES })
  const chosen = chooseRef(listing, ref)
  if (chosen === undefined) throw new TaskFailure('workspace', ref === undefined ? `${remote.url} has no commits` : `${remote.url} has no branch, tag or commit ${JSON.stringify(ref)}`)
  const { want, branch } = chosen
  await askRemote(remote, ['fetch', '--quiet', '--depth=1', '--no-tags', '--no-write-fetch-head', '--', remote.url, `+${want}:refs/longshore/start`], env, folder, bounded())
  const commit = (await local(['rev-parse', '--verify', 'refs/longshore/start^{commit}']).catch(noCommit(want))).bytes.toString('latin1').trim()
  await measure(commit, local, limits)
  const begin = branch === undefined ? ['checkout', '--quiet', '--force', '--detach', commit] : ['checkout', '--quiet', '--force', '-B', branch, commit]
  await local(begin).catch(notOut(remote.url, signal))
  if (branch !== undefined) await local(['update-ref', `refs/remotes/origin/${branch}`, commit])
  await local(['update-ref', '-d', 'refs/longshore/start'])
  await local(['config', 'remote.origin.url', remote.url])
  await local(['config', 'remote.origin.fetch', '+refs/heads/*:refs/remotes/origin/*'])
  for (const name of await readdir(gitDir)) if (name !== 'objects') await cp(join(gitDir, name), join(draft, '.git', name), { recursive: true })
  return { commit, branch }
}

/** Before a file of it is written: a small pack can hold a thousand million files. */
async function measure(commit: string, git: (args: readonly string[], more: GitOptions) => Promise<{ bytes: Buffer; isCut: boolean }>, limits: WorkspaceLimits): Promise<void> {
  const tooLarge = (what: string) => new TaskFailure('workspace', `the repository is larger than a workspace may be: more than ${what}`)
  const { bytes, isCut } = await git(['ls-tree', '-r', '-t', '--full-tree', '--format=%(objectsize)', commit], { maxBytes: limits.files * BYTES_PER_SIZE })
    .catch((error: unknown) => Promise.reject(error instanceof GitCutShort ? tooLarge(`${limits.files} files`) : error))
  const sizes = bytes.toString('latin1').split('\n')
  if (isCut || sizes.length - 1 > limits.files) throw tooLarge(`${limits.files} files (WORKSPACE_MAX_FILES)`)
  if (sizes.reduce((sum, size) => sum + (Number(size) || 0), 0) > limits.bytes) throw tooLarge(`${limits.bytes} bytes (WORKSPACE_MAX_BYTES)`)
}

const noCommit = (want: string) => (): never => {
  throw new TaskFailure('workspace', `${JSON.stringify(want)} is no commit`)
}

const DISK = /No space left|Disk quota|Input\/output error|Read-only file system/

/** What a repository holds is its own fault, not that of the storage. */
const notOut = (url: string, signal: AbortSignal) => (error: unknown): never => {
  signal.throwIfAborted()
  const said = error instanceof Error ? error.message : String(error)
  if (DISK.test(said)) throw error
  const why = error instanceof GitCutShort ? 'in time (WORKSPACE_GIT_TIMEOUT_MS)' : `(${oneLine(said)})`
  throw new TaskFailure('workspace', `${url} could not be checked out ${why}`, { cause: error })
}
