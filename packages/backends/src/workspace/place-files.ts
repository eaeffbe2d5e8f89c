import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, lstat, mkdir, open, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { TaskFailure, type UnpackedFile } from '@longshore/contracts'
import { beneath, FOLDER, withFolder } from './open-beneath.ts'
import type { Owner } from './prepare.ts'
import type { Workspace } from './storage.ts'

const NEW = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW
const FOLDER_MODE = 0o755
const FILE_MODE = 0o644

/**
 * Puts files into a task's `repo`, each whole or not at all, in place of one that is there. A clone or an earlier agent made what is there (G14): no link is followed,
 * nothing is written into a file that has another name elsewhere.
 * @param confirm rejects when another worker owns the task; asked before each file (G4)
 * @throws TaskFailure `workspace` where something stands in the way
 */
export async function placeFiles(workspace: Workspace, files: readonly UnpackedFile[], owner: Owner | undefined, confirm: () => Promise<void>): Promise<void> {
  await withFolder(workspace, [], 'workspace.files', async (repo) => {
    for (const file of files) await place(workspace, repo, file, owner, confirm)
  })
}

async function place({ control }: Workspace, repo: FileHandle, { path, parts, content }: UnpackedFile, owner: Owner | undefined, confirm: () => Promise<void>): Promise<void> {
  const folders: FileHandle[] = []
  const draft = join(control, `sent.${randomBytes(6).toString('hex')}`)
  try {
    for (const part of parts.slice(0, -1)) folders.push(await enter(folders.at(-1) ?? repo, part, owner))
    const target = beneath(folders.at(-1) ?? repo, parts.at(-1))
    const found = await lstat(target).catch(absent)
    if (found !== undefined && !found.isFile()) throw new TaskFailure('workspace', inTheWay(path))
    await writeDraft(draft, content, found === undefined ? FILE_MODE : found.mode & 0o777, owner)
    await confirm()
    await rename(draft, target)
  } catch (error) {
    throw IN_THE_WAY.has((error as NodeJS.ErrnoException).code ?? '') ? new TaskFailure('workspace', inTheWay(path), { cause: error }) : error
  } finally {
    await Promise.all([rm(draft, { force: true }), ...folders.map((folder) => folder.close())])
  }
}

/** ELOOP and ENOTDIR: a link, or a file, where a folder is needed. The others: an earlier agent closed it, or put a folder there. */
const IN_THE_WAY = new Set(['ELOOP', 'ENOTDIR', 'EISDIR', 'EACCES', 'EPERM', 'ENAMETOOLONG'])

function inTheWay(path: string): string {
  return `workspace.files: ${JSON.stringify(path.slice(0, 200).toWellFormed())} cannot be written into the workspace: something else than a file or a folder stands in its way (links are not followed), or may not be written`
}

/** A folder, made where it is missing. */
async function enter(above: FileHandle, part: string, owner: Owner | undefined): Promise<FileHandle> {
  const path = beneath(above, part)
  const isNew = await mkdir(path, { mode: FOLDER_MODE }).then(() => true, (error: NodeJS.ErrnoException) => {
    if (error.code === 'EEXIST') return false
    throw error
  })
  const folder = await open(path, FOLDER)
  if (!isNew) return folder
  try {
    await give(folder, FOLDER_MODE, owner)
    return folder
  } catch (error) {
    await folder.close()
    throw error
  }
}

async function writeDraft(path: string, content: Buffer, mode: number, owner: Owner | undefined): Promise<void> {
  await using file = await open(path, NEW, 0o600)
  await file.writeFile(content)
  await give(file, mode, owner)
}

async function give(file: FileHandle, mode: number, owner: Owner | undefined): Promise<void> {
  if (owner !== undefined) await file.chown(owner.uid, owner.gid)
  await file.chmod(mode)
}

function absent(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
}
