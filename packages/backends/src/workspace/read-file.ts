import type { Stats } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { parseWorkspacePath, type WorkspaceParts } from '@longshore/contracts'
import { modifiedAt, notAFile, openIn, refusal, withFolder } from './open-beneath.ts'
import type { Workspace } from './storage.ts'

const FIELD = 'file_path'
const WORLD_READABLE = 0o004

/** A file of a workspace, open for reading; whoever has it closes it. */
export interface OpenFile {
  handle: FileHandle
  size: number
  modifiedAt: number
  /** Its first bytes, which tell what it is. */
  head: Buffer
}

const HEAD_BYTES = 16

/**
 * Opens a file of `repo`: opened, then checked through its descriptor, then read. Follows no link, waits for no pipe.
 * @throws LongshoreError file_not_found, invalid_input
 */
export async function openTaskFile(workspace: Workspace, path: string): Promise<OpenFile> {
  const parts = parseWorkspacePath(path, FIELD)
  if (parts.length === 0) throw refusal(parts, FIELD, 'names no file', 'Ask get_task_files for names.')
  return withFolder(workspace, parts.slice(0, -1), FIELD, async (folder, repo) => {
    const { handle, found } = await openChecked(folder, repo, parts, FIELD)
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, 0)
    return { handle, size: found.size, modifiedAt: modifiedAt(found), head: buffer.subarray(0, bytesRead) }
  })
}

/** Opens the last of `parts` in its folder, and says what it is. @throws LongshoreError when it is nothing to read */
export async function openChecked(folder: FileHandle, repo: FileHandle, parts: WorkspaceParts, field: string): Promise<{ handle: FileHandle; found: Stats }> {
  const handle = await openIn(folder, parts, field)
  try {
    const found = await handle.stat()
    admit(found, await repo.stat(), parts, field)
    return { handle, found }
  } catch (error) {
    await handle.close()
    throw error
  }
}

/**
 * A hard link leads out of the tree without looking like it, and the worker may read more than the agent. So only what the agent
 * could read by itself is read: its own files, and those that everybody may read.
 */
function admit(found: Stats, repo: Stats, parts: WorkspaceParts, field: string): void {
  if (!found.isFile()) throw notAFile(found, parts, field)
  if (found.uid !== repo.uid && (found.mode & WORLD_READABLE) === 0) throw refusal(parts, field, 'belongs to another user', 'Only files of the agent are read.')
}
