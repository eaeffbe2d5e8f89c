import { randomBytes } from 'node:crypto'
import { copyFile, lstat, mkdir, readdir, rm, stat, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import type { TreeId } from './changes.ts'
import { GitCutShort, gitHead, type GitOptions } from './git.ts'
import { sortChanged } from './look-files.ts'
import { withGitFolder } from './own-folder.ts'
import type { Workspace } from './storage.ts'

/** Names of changed files that one look takes: above it a tree is listed, not compared. */
const MAX_NAMES_BYTES = 4 * 1024 * 1024
/** A look lasts a minute at most; what is older was left by a worker that died, here or elsewhere. */
const STALE_MS = 600_000
const PREFIX = 'look-'
/** Larger files count as binary and are not held in memory; what is kept for a moment is not worth compressing. */
const SETTINGS = {
  GIT_CONFIG_COUNT: '3', GIT_CONFIG_KEY_0: 'core.bigFileThreshold', GIT_CONFIG_VALUE_0: '4m',
  GIT_CONFIG_KEY_1: 'core.compression', GIT_CONFIG_VALUE_1: '0', GIT_CONFIG_KEY_2: 'core.looseCompression', GIT_CONFIG_VALUE_2: '0',
}
/** Several looks go on at once, and tasks besides. */
const MAX_MEMORY_KIB = 1024 * 1024
/** Stands for a file whose content need not be known: a new one, one that is too large, one that is not ours to read. */
const UNREAD = '\0not read\n'

export interface Look {
  /**
   * The state of `repo` now. Git reads by path, and an agent may swap a folder for a link meanwhile: what this tree says of names and kinds
   * is only ever wrong about the agent's own files, but contents in it must not be shown. Of files that are new they are not even in it.
   */
  tree: TreeId
  /** Asks git about objects; the work tree is out of its sight, and so are the attributes in it. */
  ask: Git
  /** The directory of this look alone that git takes orders from. */
  gitDir: string
  env: Record<string, string>
}

/**
 * Looks at a workspace without touching what its owner works with: any worker of the storage may, at any time, also several at once.
 * Objects and index are in folders of the look's own, which are gone after it. Runs nothing of the workspace.
 * @throws GitCutShort when there is too much to look at
 */
export async function withLook<T>(workspace: Workspace, base: TreeId, signal: AbortSignal, use: (look: Look) => Promise<T>): Promise<T> {
  await removeStale(workspace)
  const kept = join(workspace.control, `${PREFIX}${randomBytes(8).toString('hex')}`)
  try {
    await copyIndex(workspace, kept)
    return await withGitFolder(async (folder) => {
      const env = {
        ...SETTINGS, GIT_DIR: folder, GIT_OBJECT_DIRECTORY: join(kept, 'objects'), GIT_INDEX_FILE: join(kept, 'index'),
        GIT_ALTERNATE_OBJECT_DIRECTORIES: JSON.stringify(join(workspace.baseline, 'objects')),
      }
      const git = (args: readonly string[], more: Record<string, string>, cwd: string, options: GitOptions = {}) => gitHead(args, { ...env, ...more }, cwd, { signal, maxMemoryKib: MAX_MEMORY_KIB, ...options })
      const onRepo: Git = (args, options) => git(args, { GIT_WORK_TREE: workspace.repo }, workspace.repo, options)
      // Files that come and go while the agent works can make git stumble.
      const tree = await stage(workspace, base, onRepo, signal).catch((error: unknown) => {
        if (error instanceof GitCutShort || signal.aborted) throw error
        return stage(workspace, base, onRepo, signal)
      })
      const nowhere = join(folder, 'nowhere')
      await mkdir(nowhere)
      return use({ tree, gitDir: folder, env, ask: (args, options) => git(args, { GIT_WORK_TREE: nowhere, GIT_INDEX_FILE: join(nowhere, 'index') }, nowhere, options) })
    })
  } finally {
    await rm(kept, { recursive: true, force: true })
  }
}

async function copyIndex(workspace: Workspace, kept: string): Promise<void> {
  await mkdir(join(kept, 'objects'), { recursive: true, mode: 0o700 })
  const [from, to] = [join(workspace.baseline, 'index'), join(kept, 'index')]
  // Git takes an entry that is as young as the index for suspect: the copy must not look younger than it is.
  const found = await lstat(from)
  if (!found.isFile()) throw new Error(`${from} is no file`)
  await copyFile(from, to)
  const second = Math.floor(found.mtimeMs / 1000)
  await utimes(to, second, second)
}

/** What git says, as far as `maxBytes` allow. Names are bytes as latin1. */
export type Git = (args: readonly string[], options?: GitOptions) => Promise<{ bytes: Buffer; isCut: boolean }>

async function stage(workspace: Workspace, base: TreeId, git: Git, signal: AbortSignal): Promise<TreeId> {
  const before = new Set(await namesFrom(git, ['ls-tree', '-r', '-z', '--name-only', base]))
  const { files, gone, unread } = await sortChanged(workspace.repo, await namesFrom(git, ['ls-files', '-z', '--modified', '--deleted', '--others', '--exclude-standard']), before, signal)
  const placeholder = unread.length === 0 ? '' : (await git(['hash-object', '-w', '--stdin'], { stdin: UNREAD })).bytes.toString('latin1').trim()
  const entries = [...gone.map((name) => `0 ${'0'.repeat(40)}\t${name}\0`), ...unread.map((name) => `100644 ${placeholder}\t${name}\0`)]
  if (entries.length > 0) await git(['update-index', '--add', '--replace', '-z', '--index-info'], { stdin: Buffer.from(entries.join(''), 'latin1') })
  if (files.length > 0) await git(['update-index', '--add', '--remove', '--replace', '-z', '--stdin'], { stdin: Buffer.from(files.map((name) => `${name}\0`).join(''), 'latin1') })
  return (await git(['write-tree'])).bytes.toString('latin1').trim()
}

async function namesFrom(git: Git, args: readonly string[]): Promise<string[]> {
  const { bytes, isCut } = await git(args, { maxBytes: MAX_NAMES_BYTES })
  if (isCut) throw new GitCutShort(`more than ${MAX_NAMES_BYTES} bytes of names of files`)
  return bytes.toString('latin1').split('\0')
}

async function removeStale({ control }: Workspace): Promise<void> {
  for (const name of await readdir(control)) {
    const path = join(control, name)
    const found = name.startsWith(PREFIX) ? await stat(path).catch(() => undefined) : undefined
    if (found !== undefined && Date.now() - found.mtimeMs > STALE_MS) await rm(path, { recursive: true, force: true })
  }
}
