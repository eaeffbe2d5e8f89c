import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { chmod, cp, lchown, lstat, mkdir, open, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { GitRef, LongshoreError, TaskFailure, type UnpackedFile } from '@longshore/contracts'
import { z } from 'zod'
import { makeState } from './agent-state.ts'
import { createBaseline, snapshot, type TreeId } from './changes.ts'
import type { Cloned } from './clone.ts'
import { GitCutShort, gitOf, runGit } from './git.ts'
import { goneOn } from './open-beneath.ts'
import { placeFiles } from './place-files.ts'
import { withOwnFolder } from './own-folder.ts'
import type { Workspace } from './storage.ts'

const TREE_ID = /^[0-9a-f]{40}$/

/** As whom the agent runs; undefined: as the worker itself. */
export interface Owner { uid: number; gid: number }

/** What fills a workspace before its agent starts. */
export interface Filling {
  /** Makes the repository in `draft`, with git's own folder in `folder` meanwhile. Default: an empty one. @throws TaskFailure */
  clone?(folder: string, draft: string): Promise<Cloned>
  /** Files that go into `repo` then, over what is there. @throws TaskFailure */
  files?(): Promise<UnpackedFile[]>
  /** Rejects when another worker owns the task: a clone takes long, and a file is written over what may be an agent's by now. */
  confirm(): Promise<void>
}

/** What a clone was made of: read back, it is data that agents of a shared server may have written. */
const Source = z.object({ commit: z.string().regex(TREE_ID), branch: GitRef.optional() })

const BASELINE_FILE = 'baseline'
const SOURCE_FILE = 'source'
const PASSWORD_FILE = 'password'
const MAX_OWN_BYTES = 1_024
/** Every file of a clone is read once; what git knows then, it does not read again. */
const FIRST_LOOK_MS = 300_000

/**
 * Makes a task's folders, once: a later attempt gets what the earlier ones left. `repo` becomes a git repository with an empty first commit,
 * as agents expect one, or what `filling` makes. Cut short anywhere, the next call completes it.
 * @throws TaskFailure `storage_unavailable`, and what `filling` throws
 */
export async function prepareWorkspace(workspace: Workspace, owner?: Owner, filling?: Filling): Promise<void> {
  try {
    if ((await baselineOf(workspace)) !== undefined) return
    await mkdir(workspace.directory, { recursive: true, mode: 0o711 })
    await rm(workspace.baseline, { recursive: true, force: true })
    for (const folder of [workspace.control, workspace.baseline]) await mkdir(folder, { recursive: true, mode: 0o700 })
    await makeState(workspace)
    const files = await filling?.files?.() ?? []
    await makeRepository(workspace, owner, filling)
    await createBaseline(workspace)
    if (filling?.clone !== undefined) await beginWithClone(workspace)
    if (filling !== undefined && files.length > 0) await beginWithFiles(workspace, files, owner, filling)
    const tree = await snapshot(workspace)
    if (owner !== undefined) await giveTo(workspace.state, owner)
    await writeAtomically(join(workspace.control, BASELINE_FILE), tree) // last: it says that all of this was done
  } catch (error) {
    if (error instanceof TaskFailure) throw error
    if ((filling?.clone !== undefined || filling?.files !== undefined) && error instanceof GitCutShort) throw new TaskFailure('workspace', `the repository cannot be looked at: ${error.message}`, { cause: error })
    throw new TaskFailure('storage_unavailable', `cannot prepare the workspace ${workspace.directory}: ${String(error)}`, { cause: error })
  }
}

/**
 * The state of `repo` before the agent first ran; undefined: it never was prepared.
 * @throws LongshoreError unavailable when something else stands there: it becomes an argument of git's
 */
export async function baselineOf(workspace: Workspace): Promise<TreeId | undefined> {
  const tree = await readOwn(workspace, BASELINE_FILE)
  if (tree !== undefined && !TREE_ID.test(tree)) throw new LongshoreError('unavailable', 'the start of the task is not known any more: something wrote over it', { next: 'read_task_file still reads single files.' })
  return tree
}

/** @throws LongshoreError not_started when the workspace was never prepared */
export async function startOf(workspace: Workspace): Promise<TreeId> {
  const tree = await baselineOf(workspace)
  if (tree === undefined) throw new LongshoreError('not_started', 'the task has no workspace yet: its agent was never started', { field: 'task_id', next: 'Ask again once get_task_status says that it runs.' })
  await lstat(workspace.repo).catch(goneOn)
  return tree
}

/** A new password for the task's server, kept where another worker of this storage finds it. */
export async function renewPassword(workspace: Workspace): Promise<string> {
  const password = randomBytes(24).toString('base64url')
  await writeAtomically(join(workspace.control, PASSWORD_FILE), password)
  return password
}

/** The password of the task's running server; undefined when none was started here. */
export async function passwordOf(workspace: Workspace): Promise<string | undefined> {
  return readOwn(workspace, PASSWORD_FILE)
}

/**
 * Whole and with its owner, or not at all: git refuses a repository that is somebody else's, and one whose lock a killed process left. It is made
 * where no agent can put something into its configuration meanwhile. One that is there is left alone: a worker that was suspended in here may be long behind its successor.
 */
async function makeRepository(workspace: Workspace, owner: Owner | undefined, filling: Filling | undefined): Promise<void> {
  const { directory, repo } = workspace
  if (filling?.clone !== undefined && (await lstat(repo).catch(() => undefined)) !== undefined) return
  const draft = `${repo}.${randomBytes(4).toString('hex')}`
  await withOwnFolder((folder) => (filling?.clone === undefined ? initInto(folder, draft) : fill(workspace, { ...filling, clone: filling.clone }, folder, draft))).catch(async (error: unknown) => {
    await rm(draft, { recursive: true, force: true })
    throw error
  })
  if (owner !== undefined) await giveTo(draft, owner)
  await rename(draft, repo).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error
  })
  for (const name of await readdir(directory)) if (name.startsWith(`${basename(repo)}.`)) await rm(join(directory, name), { recursive: true, force: true })
}

async function initInto(folder: string, draft: string): Promise<void> {
  const git = (...args: string[]): Promise<string> => runGit(args, { GIT_CEILING_DIRECTORIES: dirname(folder) }, folder)
  await git('init', '--quiet', '--template=', '--initial-branch=main')
  await git('commit', '--quiet', '--allow-empty', '--message', 'Before the task')
  await cp(folder, draft, { recursive: true })
}

/** What it was made of is written down before it gets its name: a repository that is there is whole, and known. */
async function fill({ control }: Workspace, filling: Filling & Required<Pick<Filling, 'clone'>>, folder: string, draft: string): Promise<void> {
  const cloned = await filling.clone(folder, draft)
  await filling.confirm()
  await writeAtomically(join(control, SOURCE_FILE), JSON.stringify(cloned))
}

/** The repository that the workspace began as. @throws TaskFailure when it is not known any more */
export async function sourceOf(workspace: Workspace): Promise<Cloned> {
  const text = await readOwn(workspace, SOURCE_FILE)
  try {
    return Source.parse(JSON.parse(text ?? ''))
  } catch (error) {
    throw new TaskFailure('storage_unavailable', `it is not known any more what the workspace ${workspace.directory} was cloned from`, { cause: error })
  }
}

/**
 * The commit becomes what our own directory knows, so that its files need not be stored again, and those count that the repository holds although
 * it ignores them. The agent has not run yet: what is copied is what git fetched.
 */
async function beginWithClone(workspace: Workspace): Promise<void> {
  const { commit } = await sourceOf(workspace)
  await cp(join(workspace.repo, '.git', 'objects'), join(workspace.baseline, 'objects'), { recursive: true })
  await gitOf(workspace, ['read-tree', commit])
  const names = await gitOf(workspace, ['ls-files', '-z', '--cached'])
  await gitOf(workspace, ['update-index', '--add', '--remove', '--replace', '-z', '--stdin'], names, { timeoutMs: FIRST_LOOK_MS })
}

/** All of them again where a worker died in between: until the start is known, none was. They count as known to the repository, also what it ignores. */
async function beginWithFiles(workspace: Workspace, files: readonly UnpackedFile[], owner: Owner | undefined, { confirm }: Filling): Promise<void> {
  await placeFiles(workspace, files, owner, confirm)
  const names = files.map(({ path }) => `${path}\0`).join('')
  await gitOf(workspace, ['update-index', '--add', '--remove', '--replace', '-z', '--stdin'], names, { timeoutMs: FIRST_LOOK_MS })
}

/** Only before the agent first runs: nothing in there is hostile yet. */
async function giveTo(path: string, owner: Owner): Promise<void> {
  await lchown(path, owner.uid, owner.gid)
  if (!(await lstat(path)).isDirectory()) return
  for (const name of await readdir(path)) await giveTo(join(path, name), owner)
}

/** Follows no link, waits for no pipe, and holds no more than a line: agents of a shared server can put anything there. */
async function readOwn(workspace: Workspace, name: string): Promise<string | undefined> {
  try {
    await using file = await open(join(workspace.control, name), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
    if (!(await file.stat()).isFile()) return ''
    const { buffer, bytesRead } = await file.read(Buffer.alloc(MAX_OWN_BYTES), 0, MAX_OWN_BYTES, 0)
    return buffer.toString('utf8', 0, bytesRead)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

async function writeAtomically(path: string, content: string): Promise<void> {
  const draft = `${path}.${process.pid}`
  await writeFile(draft, content, { mode: 0o600 })
  await chmod(draft, 0o600)
  await rename(draft, path)
}
