import { constants, type Stats } from 'node:fs'
import { type FileHandle, lstat, readlink } from 'node:fs/promises'
import { LongshoreError } from '@longshore/contracts'
import type { TreeId } from './changes.ts'
import type { ChangedName } from './changed-names.ts'
import type { Git } from './look.ts'
import { beneath, withFolder } from './open-beneath.ts'
import { openChecked } from './read-file.ts'
import type { Workspace } from './storage.ts'

export interface PutLimits { fileBytes: number; totalBytes: number; files: number }

/** Larger files are not shown as text, so they are not read. What one diff reads: its patch is a megabyte at most. */
const DIFF: PutLimits = { fileBytes: 4 * 1024 * 1024, totalBytes: 64 * 1024 * 1024, files: 2_000 }
/** Stands for what is not read. Binary to git; a size makes a change of size a change. */
const unread = (size: number) => Buffer.from(`\0not read, ${size} bytes\n`)

/**
 * The start with the changes in it whose contents may be shown: each file was opened beneath `repo` through descriptors (see open-beneath.ts),
 * so that no swapped link brings in what lies outside. `left`: how many changes are not in it, because it would be too much; `unread`: how many are there by their names alone.
 */
export async function treeToShow(workspace: Workspace, git: Git, base: TreeId, changes: readonly ChangedName[], limits = DIFF): Promise<{ tree: TreeId; left: number; unread: number }> {
  const taken = { files: 0, bytes: 0, unread: 0 }
  async function* commands(): AsyncGenerator<Buffer> {
    yield Buffer.from(`commit refs/heads/now\ncommitter Longshore <longshore@localhost> 0 +0000\ndata 0\nM 040000 ${base} \n`)
    // A file may have given its name to a folder: what is gone goes first.
    for (const { path } of changes.filter(({ change }) => change === 'deleted')) yield line(`D ${quoted(path)}`)
    for (const { path, change } of changes) {
      if (change === 'deleted') continue
      if (taken.files >= limits.files || taken.bytes >= limits.totalBytes) return
      const blob = await readBlob(workspace, path, limits.fileBytes)
      taken.files += 1
      if (blob?.isUnread === true) taken.unread += 1
      taken.bytes += blob?.content.length ?? 0
      if (blob === undefined) yield line(`D ${quoted(path)}`)
      else yield Buffer.concat([line(`M ${blob.mode} inline ${quoted(path)}`), line(`data ${blob.content.length}`), blob.content, line('')])
    }
  }
  await git(['fast-import', '--quiet', '--done', '--force'], { stdin: finished(commands()) })
  const { bytes } = await git(['rev-parse', 'refs/heads/now^{tree}'])
  const toRead = changes.filter(({ change }) => change !== 'deleted').length
  return { tree: bytes.toString('latin1').trim(), left: toRead - taken.files, unread: taken.unread }
}

async function* finished(commands: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  yield* commands
  yield line('done')
}

interface Blob { mode: '100644' | '100755' | '120000'; content: Buffer; isUnread?: boolean }

/** undefined: nothing is there any more. */
async function readBlob(workspace: Workspace, path: string, maxBytes: number): Promise<Blob | undefined> {
  const parts = path.split('/')
  try {
    return await withFolder(workspace, parts.slice(0, -1), 'path', async (folder, repo) => {
      const place = beneath(folder, parts.at(-1))
      if ((await lstat(place)).isSymbolicLink()) return { mode: '120000' as const, content: await readlink(place, 'buffer') }
      const { handle, found } = await openChecked(folder, repo, parts, 'path')
      try {
        return { mode: (found.mode & constants.S_IXUSR) === 0 ? '100644' as const : '100755' as const, content: await contentOf(handle, found, maxBytes), isUnread: found.size > maxBytes }
      } finally {
        await handle.close()
      }
    })
  } catch (error) {
    if (error instanceof LongshoreError && error.code === 'invalid_input') return { mode: '100644', content: unread(0), isUnread: true }
    if (error instanceof LongshoreError || GONE.has((error as NodeJS.ErrnoException).code ?? '')) return undefined
    throw error
  }
}

/** A link that became something else between two looks at it. */
const GONE = new Set(['ENOENT', 'ENOTDIR', 'EINVAL'])

async function contentOf(handle: FileHandle, { size }: Stats, maxBytes: number): Promise<Buffer> {
  if (size > maxBytes) return unread(size)
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(size), 0, size, 0)
  return buffer.subarray(0, bytesRead)
}

function line(text: string): Buffer {
  return Buffer.from(`${text}\n`, 'latin1')
}

/** A name as fast-import takes it, whatever bytes it is made of. */
export function quoted(name: string): string {
  // oxlint-disable-next-line no-control-regex -- names of files may hold any
  return `"${name.replace(/["\\\x00-\x1f\x7f-\xff]/g, (character) => `\\${character.charCodeAt(0).toString(8).padStart(3, '0')}`)}"`
}
