import { randomUUID } from 'node:crypto'
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { TaskFailure, type TaskId } from '@longshore/contracts'
import { openOwnRoot } from './own-folder.ts'

/** A disk with an id on which workspaces live. Who shares it sees the same absolute paths. */
export interface Storage {
  readonly id: string
  readonly root: string
}

/**
 * The folders of one task. `repo` and `state` are the agent's; `control` and `baseline` are ours and out of its reach
 * in a container, not on a shared server: nothing in there is executed. The names are ours, the content of `repo` and `state` is hostile (G14).
 */
export interface Workspace {
  readonly directory: string
  /** What the agent works on. */
  readonly repo: string
  /** The agent's own files: home, sessions, caches. A resumed task finds its session here. */
  readonly state: string
  /** Ours alone (mode 0700): the server's password, its log, the prompt of a plain command. */
  readonly control: string
  /** Objects and index of ours over `repo`; git's own folder is elsewhere (own-folder.ts). The workspace's own `.git` is never used after the agent has started: its configuration executes commands. */
  readonly baseline: string
}

const ID_FILE = '.longshore-storage'

/**
 * Opens a storage, making it and its id when it is new. The id stays with the disk.
 * @throws TaskFailure `storage_unavailable` when the folder cannot be made, read or written
 */
export async function openStorage(root: string): Promise<Storage> {
  const path = resolve(root)
  try {
    await openOwnRoot()
    await mkdir(path, { recursive: true })
    await chmod(path, 0o711) // agents pass through it to their own folder, and list nothing
    const file = join(path, ID_FILE)
    await writeFile(file, `${randomUUID()}\n`, { flag: 'wx' }).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error
    })
    return { id: (await readFile(file, 'utf8')).trim(), root: path }
  } catch (error) {
    throw new TaskFailure('storage_unavailable', `cannot use ${path} for workspaces: ${String(error)}; give a folder that this user can write`, { cause: error })
  }
}

/** Where a task's folders are. Task ids are checked by their schema: they cannot leave the storage. */
export function workspaceOf(storage: Storage, taskId: TaskId): Workspace {
  const directory = join(storage.root, taskId)
  return {
    directory,
    repo: join(directory, 'repo'),
    state: join(directory, 'state'),
    control: join(directory, 'control'),
    baseline: join(directory, 'baseline.git'),
  }
}
