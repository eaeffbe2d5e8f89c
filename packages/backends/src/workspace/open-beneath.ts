import { constants } from 'node:fs'
import { type FileHandle, lstat, open } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { LongshoreError, shownPath, type WorkspaceParts as Parts } from '@longshore/contracts'
import type { Workspace } from './storage.ts'

/**
 * Opening what an agent wrote (G14). Every step starts at a descriptor that is held and follows no link, so a folder that is swapped for a link
 * between check and use leads nowhere. Node has no openat; `/proc/self/fd/N/name` is the same, on Linux.
 */
export const FOLDER = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW
/** A pipe that was put in place of a file must not hold us. */
const FILE = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY

/** The path of a name in an open folder. */
export function beneath(folder: FileHandle, name = ''): Buffer {
  return Buffer.from(`/proc/self/fd/${folder.fd}/${name}`, 'latin1')
}

/**
 * Opens the folder that `parts` name, calls `use`, and closes it.
 * @throws LongshoreError file_not_found, invalid_input, not_started
 */
export async function withFolder<T>(workspace: Workspace, parts: Parts, field: string, use: (folder: FileHandle, repo: FileHandle) => Promise<T>): Promise<T> {
  const opened: FileHandle[] = []
  const into = async (path: string | Buffer, flags: number): Promise<FileHandle> => {
    const folder = await open(path, flags)
    opened.push(folder)
    return folder
  }
  try {
    // The operator may have put the storage behind a link; the task's own folders are none.
    const storage = await into(dirname(workspace.directory), constants.O_RDONLY | constants.O_DIRECTORY)
    const task = await into(beneath(storage, basename(workspace.directory)), FOLDER)
    const repo = await into(beneath(task, basename(workspace.repo)), FOLDER).catch(goneOn)
    let folder = repo
    for (const [i, part] of parts.entries()) {
      folder = await into(beneath(folder, part), FOLDER).catch(async (error: unknown) => { throw await refusalOf(error, folder, parts.slice(0, i + 1), field) })
    }
    return await use(folder, repo)
  } finally {
    await Promise.all(opened.map((folder) => folder.close()))
  }
}

/** @throws LongshoreError file_not_found for a workspace that is not there any more */
export function goneOn(error: NodeJS.ErrnoException): never {
  if (error.code !== 'ENOENT') throw error
  throw new LongshoreError('file_not_found', 'the workspace of this task is not there any more: a named one went on to a later task', { field: 'task_id', next: 'Ask for the newest task that had it.' })
}

/** Opens `name` in an open folder as a file. The caller checks it through the descriptor, and closes it. @throws LongshoreError */
export async function openIn(folder: FileHandle, parts: Parts, field: string): Promise<FileHandle> {
  const path = beneath(folder, parts.at(-1))
  // Opening a device can do things; this look spares the honest mistake, the descriptor decides.
  const found = await lstat(path).catch(async (error: unknown) => { throw await refusalOf(error, folder, parts, field) })
  if (!found.isFile()) throw notAFile(found, parts, field)
  return open(path, FILE).catch(async (error: unknown) => { throw await refusalOf(error, folder, parts, field) })
}

interface Kind { isSymbolicLink(): boolean; isDirectory(): boolean }

export function notAFile(found: Kind, parts: Parts, field: string): LongshoreError {
  if (found.isDirectory()) return refusal(parts, field, 'is a folder', 'Ask get_task_files with it as path.')
  if (found.isSymbolicLink()) return refusal(parts, field, 'is a symbolic link, and links are not followed', 'Read what it points to by its own path.')
  return refusal(parts, field, 'is not a regular file', 'Pipes, sockets and devices cannot be read.')
}

export function refusal(parts: Parts, field: string, why: string, next: string): LongshoreError {
  return new LongshoreError('invalid_input', `${field}: ${shownPath(parts)} ${why}`, { field, next })
}

export function notFound(parts: Parts, field: string): LongshoreError {
  return new LongshoreError('file_not_found', `${field}: ${shownPath(parts)} does not exist in the workspace`, { field, next: 'get_task_files lists what is there.' })
}

/** The last moment that is written with four digits of a year. */
const LAST_MS = 253_402_300_799_000

/** When a file was changed (ms): an agent may give it any time, also one that no date can show. */
export function modifiedAt({ mtimeMs }: { mtimeMs: number }): number {
  return Math.min(Math.max(Math.floor(mtimeMs), 0), LAST_MS)
}

const HELD = new Set(['EAGAIN', 'EBUSY', 'ETXTBSY'])

async function refusalOf(thrown: unknown, folder: FileHandle, parts: Parts, field: string): Promise<unknown> {
  const { code } = thrown as NodeJS.ErrnoException
  if (code === 'ENOENT' || code === 'ENAMETOOLONG') return notFound(parts, field)
  if (code === 'EACCES' || code === 'EPERM') return refusal(parts, field, 'may not be read by the worker', 'The agent took the right to read it away.')
  if (code !== undefined && HELD.has(code)) return refusal(parts, field, 'is held by a program of the agent (a lease, or it runs)', 'Try again in some seconds.')
  if (code === 'ENXIO') return refusal(parts, field, 'is not a regular file', 'Pipes, sockets and devices cannot be read.')
  if (code !== 'ELOOP' && code !== 'ENOTDIR') return thrown
  const found = await lstat(beneath(folder, parts.at(-1))).catch(() => undefined)
  return found?.isSymbolicLink() === true ? notAFile(found, parts, field) : notFound(parts, field)
}
