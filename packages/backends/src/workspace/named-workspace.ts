import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { lstat, mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type AgentId, TaskFailure, TaskId } from '@longshore/contracts'
import { GitCutShort, SYSTEM_PATH } from './git.ts'
import { baselineOf, type Filling, type Owner, prepareWorkspace } from './prepare.ts'
import { type Storage, type Workspace, workspaceOf } from './storage.ts'

// A named workspace has no place of its own: it is the `repo` of the task that had it last, and moves to the next one. So everything that knows
// where a task's files are stays true. The ledger lets one task at a time have it, and no other before nothing of the last one is left.

export interface Named { agentId: AgentId; name: string; taskId: TaskId }

/** Where such a workspace may be: newest first. Written before it moves, so that a death in between loses nothing. */
const HOLDERS = 'named'
const MAX_HOLDERS = 8

/**
 * Makes a task's workspace of what the last task of that name left; of nothing where it is the first.
 * @throws TaskFailure `storage_unavailable`, `workspace`
 */
export async function prepareNamed(storage: Storage, named: Named, owner: Owner | undefined, filling: Filling): Promise<void> {
  const workspace = workspaceOf(storage, named.taskId)
  if ((await baselineOf(workspace)) !== undefined) return
  try {
    await filling.confirm()
    await mkdir(join(storage.root, HOLDERS), { recursive: true, mode: 0o700 })
    await bringHere(storage, workspace, named, owner)
  } catch (error) {
    throw new TaskFailure('storage_unavailable', `cannot bring the workspace "${named.name}" to its next task: ${String(error)}`, { cause: error })
  }
  await prepareWorkspace(workspace, owner, filling).catch((error: unknown) => {
    if (error instanceof TaskFailure && error.cause instanceof GitCutShort) throw new TaskFailure('workspace', `the workspace "${named.name}" cannot be looked at any more: ${error.cause.message}`, { cause: error })
    throw error
  })
}

async function bringHere(storage: Storage, workspace: Workspace, named: Named, owner: Owner | undefined): Promise<void> {
  const file = join(storage.root, HOLDERS, createHash('sha256').update(`${named.agentId}\0${named.name}`).digest('hex'))
  const holders: TaskId[] = []
  // Who stands there without it never had it: enough of those would push out the one that has.
  for (const holder of await readHolders(file)) if (await isFolder(workspaceOf(storage, holder).repo)) holders.push(holder)
  const draft = `${file}.${process.pid}`
  await writeFile(draft, [...new Set([named.taskId, ...holders])].slice(0, MAX_HOLDERS).join('\n'), { mode: 0o600 })
  await rename(draft, file)
  await mkdir(workspace.directory, { recursive: true, mode: 0o711 })
  if (await isFolder(workspace.repo)) return
  for (const holder of holders) {
    const { repo } = workspaceOf(storage, holder)
    if (holder === named.taskId) continue
    await giveOn(repo, owner)
    await rename(repo, workspace.repo)
    return
  }
}

/** Agents of a shared server may have written it: nothing but ids of tasks is taken from it. */
async function readHolders(file: string): Promise<TaskId[]> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return ''
    throw error
  })
  return text.split('\n').slice(0, MAX_HOLDERS).map((line) => TaskId.safeParse(line).data).filter((id) => id !== undefined)
}

const isFolder = (path: string): Promise<boolean> => lstat(path).then((found) => found.isDirectory(), () => false)

/**
 * Where the next agent is another user than the last: what was the last one's, and nothing else, becomes the next one's. No agent runs on it meanwhile. By a program that walks
 * down, since a tree can be deeper than a path is long; a folder comes after what is in it, so that after a death in between the next try still sees whose it was.
 */
async function giveOn(repo: string, owner: Owner | undefined): Promise<void> {
  const { uid: from } = await lstat(repo)
  if (owner === undefined || owner.uid === from) return
  await promisify(execFile)('chown', ['-hR', `--from=${from}`, `${owner.uid}:${owner.gid}`, '--', repo], { env: { PATH: SYSTEM_PATH, LC_ALL: 'C' } })
}
