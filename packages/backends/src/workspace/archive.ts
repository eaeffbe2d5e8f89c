import type { Stats } from 'node:fs'
import { readlink } from 'node:fs/promises'
import { LongshoreError, nameToText } from '@longshore/contracts'
import { beneath, modifiedAt } from './open-beneath.ts'
import { openChecked } from './read-file.ts'
import type { Workspace } from './storage.ts'
import { paddingOf, TAR_END, tarHeader } from './tar-format.ts'
import { type Walked, walkTree } from './walk-tree.ts'

/** Why something that is there is not in the archive. */
export type LeftReason = 'special' | 'unreadable' | 'quota'

export interface Archived {
  /** From `repo` down, bytes as latin1. */
  name: string
  type: 'file' | 'directory' | 'symlink' | 'other'
  size?: number
  modified_at: number
  /** Where in the archive the content of a file begins. */
  offset?: number
  left?: LeftReason
  /** It changed its size while it was read: the end of it is zeros, or missing. */
  torn?: true
}

export interface ArchiveOptions {
  /** The folder that everything lies in, and the beginning of the name of the note. */
  prefix: string
  signal: AbortSignal
  /** Whether it may be in the archive, which is `position` bytes long so far. Default: everything may. */
  admits?(entry: Archived, position: number): boolean
  /** Told of everything that the walk comes by, also of what is left out, in the order of listings; waited for. */
  onEntry?(entry: Archived): void | Promise<void>
}

const MAX_NAMED = 1_000

/**
 * `repo` as a tar archive, in pieces. Files are opened beneath descriptors and read as they are then: one that grows meanwhile is cut, one that shrinks is
 * filled with zeros. Links are stored as links and never followed, hard links as files. What cannot be in it, and every `.git`, is left out; the
 * former is named in a note beside the folder.
 */
export async function* archiveWorkspace(workspace: Workspace, { prefix, signal, admits = () => true, onEntry = () => {} }: ArchiveOptions): AsyncGenerator<Buffer> {
  const note = leftOut()
  let position = 0
  const counted = (bytes: Buffer): Buffer => {
    position += bytes.length
    return bytes
  }
  const walk = walkTree(workspace, signal)
  for await (const walked of walk.entries) {
    const entry = entryOf(walked)
    if (entry.type === 'other') entry.left = 'special'
    else if (!admits(entry, position)) entry.left = 'quota'
    else for await (const bytes of contentOf(walked, entry, prefix, () => position)) yield counted(bytes)
    note.add(entry)
    await onEntry(entry)
  }
  const text = note.text(walk.isTruncated())
  if (text.length > 0) yield* [tarHeader({ name: Buffer.from(`${prefix}.left-out.txt`), type: 'file', size: text.length, mode: 0o644, modifiedAt: 0 }), text, paddingOf(text.length)].map(counted)
  yield counted(TAR_END)
}

function entryOf({ name, stats }: Walked): Archived {
  return { name, type: typeOf(stats), modified_at: modifiedAt(stats), ...(stats.isFile() ? { size: stats.size } : {}) }
}

function typeOf(stats: Stats): Archived['type'] {
  if (stats.isFile()) return 'file'
  if (stats.isDirectory()) return 'directory'
  return stats.isSymbolicLink() ? 'symlink' : 'other'
}

async function* contentOf(walked: Walked, entry: Archived, prefix: string, position: () => number): AsyncGenerator<Buffer> {
  const { stats, folder, name } = walked
  const parts = name.split('/')
  const base = { name: Buffer.from(`${prefix}/${name}`, 'latin1'), mode: stats.mode, modifiedAt: entry.modified_at / 1_000, size: 0 }
  if (entry.type === 'directory') return yield tarHeader({ ...base, name: Buffer.concat([base.name, Buffer.from('/')]), type: 'directory' })
  if (entry.type === 'symlink') {
    const link = await readlink(beneath(folder, parts.at(-1)), 'buffer').catch(() => undefined)
    if (link === undefined) entry.left = 'unreadable'
    else yield tarHeader({ ...base, type: 'symlink', link })
    return
  }
  yield* fileContent(walked, entry, base, position)
}

async function* fileContent({ folder, repo, name }: Walked, entry: Archived, base: { name: Buffer; mode: number; modifiedAt: number }, position: () => number): AsyncGenerator<Buffer> {
  const opened = await openChecked(folder, repo, name.split('/'), 'path').catch((error: unknown) => {
    if (error instanceof LongshoreError || isGone(error)) return undefined
    throw error
  })
  if (opened === undefined) {
    entry.left = 'unreadable'
    return
  }
  const { handle, found } = opened
  try {
    const { size } = found
    entry.size = size
    yield tarHeader({ ...base, type: 'file', size, mode: found.mode })
    entry.offset = position()
    let read = 0
    if (size > 0) {
      for await (const piece of handle.createReadStream({ start: 0, end: size - 1, autoClose: false }) as AsyncIterable<Buffer>) {
        read += piece.length
        yield piece
      }
    }
    if (read < size || (await handle.stat()).size !== size) entry.torn = true
    yield* zeros(size - read)
    yield paddingOf(size)
  } finally {
    await handle.close()
  }
}

const ZEROS = Buffer.alloc(64 * 1024)

function* zeros(count: number): Generator<Buffer> {
  for (let left = count; left > 0; left -= ZEROS.length) yield ZEROS.subarray(0, Math.min(left, ZEROS.length))
}

function isGone(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'EIO')
}

const WORDS: Readonly<Record<LeftReason | 'torn', string>> = {
  special: 'is no file, folder or link', unreadable: 'cannot be read, or belongs to another user', quota: 'does not fit into the limit',
  torn: 'changed its size while it was read: it is in the archive, but not as it was at any moment',
}

/** Says what is missing, in lines of JSON names: a name may hold anything. */
function leftOut(): { add(entry: Archived): void; text(isTruncated: boolean): Buffer } {
  const lines: string[] = []
  let more = 0
  return {
    add: ({ name, left, torn }) => {
      const why = left ?? (torn === true ? 'torn' : undefined)
      if (why === undefined) return
      if (lines.length < MAX_NAMED) lines.push(`${JSON.stringify(nameToText(name))} ${WORDS[why]}`)
      else more += 1
    },
    text: (isTruncated) => Buffer.from([
      ...lines, ...(more > 0 ? [`and ${more} more`] : []), ...(isTruncated ? ['A folder holds too many names or lies too deep: not all of it is here.'] : []),
    ].map((line) => `${line}\n`).join('')),
  }
}
