import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, lstat, open, readdir, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'

/** A draft that nobody has written to for so long has lost its writer: a slow source is not silent for an hour. */
const ABANDONED_MS = 60 * 60_000

export interface Draft {
  file: FileHandle
  /** Makes it the file at `path`, in one step that survives a power cut. */
  publish(path: string): Promise<void>
  /** Removes it, unless it was published. */
  drop(): Promise<void>
}

/** A file that nobody reads yet, beside where it will stand. */
export async function beginDraft(folder: string): Promise<Draft> {
  const path = join(folder, randomBytes(16).toString('hex'))
  const file = await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600)
  return {
    file,
    publish: async (target) => {
      await file.sync()
      await file.close()
      await rename(path, target)
      await syncFolder(dirname(target))
    },
    drop: async () => {
      await file.close()
      await rm(path, { force: true })
    },
  }
}

/** Removes what writers that died have left. @returns how many */
export async function removeAbandoned(folder: string, now: number): Promise<number> {
  let removed = 0
  for (const name of await readdir(folder)) {
    const path = join(folder, name)
    const found = await lstat(path).catch(() => undefined)
    if (found === undefined || now - found.mtimeMs < ABANDONED_MS) continue
    await rm(path, { force: true })
    removed++
  }
  return removed
}

/** A name is on the disk when its folder is. */
export async function syncFolder(path: string): Promise<void> {
  await using folder = await open(path, constants.O_RDONLY | constants.O_DIRECTORY)
  await folder.sync()
}
