import { constants } from 'node:fs'
import { type FileHandle, mkdir, open } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import type { OutputPart } from '@longshore/contracts'
import { beneath, FOLDER } from './open-beneath.ts'
import type { Workspace } from './storage.ts'

// A task's full output, beside its workspace: one file per owner, which only that owner writes. How much of each counts stands in the ledger.

const FOLDER_NAME = 'output'
const WRITE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW
const READ = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
const PIECE_BYTES = 64 * 1024

/** The file of one owner, new and empty. Whoever has it closes it. */
export async function createOutputFile(workspace: Workspace, claim: number): Promise<FileHandle> {
  return withOutputFolder(workspace, true, (folder) => open(beneath(folder, String(claim)), WRITE, 0o600))
}

export interface Slice { start: number; end: number }

/** How many bytes the parts hold together. */
export function outputBytes(parts: readonly OutputPart[]): number {
  return parts.reduce((sum, { bytes }) => sum + bytes, 0)
}

/**
 * A range of the full output. What is missing on this storage (a part that lies on another, a file that a power cut shortened) is replaced by
 * spaces and a line that says so, so that every other byte keeps its place.
 */
export async function* readOutput(workspace: Workspace, parts: readonly OutputPart[], storageId: string, { start, end }: Slice): AsyncGenerator<Buffer> {
  let before = 0
  for (const part of parts) {
    const [from, to] = [Math.max(start - before, 0), Math.min(end - before, part.bytes)]
    before += part.bytes
    if (from < to) yield* readPart(workspace, part, storageId, from, to)
  }
}

async function* readPart(workspace: Workspace, part: OutputPart, storageId: string, from: number, to: number): AsyncGenerator<Buffer> {
  const file = part.storage_id === storageId ? await withOutputFolder(workspace, false, (folder) => open(beneath(folder, String(part.claim)), READ)).catch(() => undefined) : undefined
  let at = from
  try {
    for await (const piece of file?.createReadStream({ start: from, end: to - 1, autoClose: false }) ?? []) {
      const bytes = piece as Buffer
      at += bytes.length
      yield bytes
    }
  } finally {
    await file?.close()
  }
  if (at < to) yield* missing(part, at, to)
}

function* missing({ bytes }: OutputPart, from: number, to: number): Generator<Buffer> {
  const note = Buffer.from(`\n[${bytes} bytes of the output, or the end of them, are not on this storage]\n`)
  for (let at = from; at < to; at += PIECE_BYTES) {
    const size = Math.min(PIECE_BYTES, to - at)
    const blank = Buffer.alloc(size, ' ')
    if (at === from) note.copy(blank)
    yield blank
  }
}

async function withOutputFolder<T>({ directory, control }: Workspace, makes: boolean, use: (folder: FileHandle) => Promise<T>): Promise<T> {
  const opened: FileHandle[] = []
  try {
    let folder = await into(opened, dirname(directory), constants.O_RDONLY | constants.O_DIRECTORY)
    for (const [name, mode] of [[basename(directory), 0o711], [basename(control), 0o700], [FOLDER_NAME, 0o700]] as const) {
      const path = beneath(folder, name)
      if (makes) await mkdir(path, { mode }).catch((error: NodeJS.ErrnoException) => { if (error.code !== 'EEXIST') throw error })
      folder = await into(opened, path, FOLDER)
    }
    return await use(folder)
  } finally {
    await Promise.all(opened.map((folder) => folder.close()))
  }
}

async function into(opened: FileHandle[], path: string | Buffer, flags: number): Promise<FileHandle> {
  const folder = await open(path, flags)
  opened.push(folder)
  return folder
}
