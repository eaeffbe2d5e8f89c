import { randomBytes } from 'node:crypto'
import { copyFile, mkdir, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TreeId } from './changes.ts'
import { GitCutShort, gitHead, type GitOptions } from './git.ts'
import { sortChanged } from './look-files.ts'
import type { Workspace } from './storage.ts'

/** Names of changed files that one look takes: above it a tree is listed, not compared. */
const MAX_NAMES_BYTES = 16 * 1024 * 1024
/** A look lasts a minute at most; what is older was left by a worker that died. */
const STALE_MS = 600_000
const PREFIX = 'look-'
/** Before any attribute of the tree. Unlike the owner's, it leaves git to say what is binary. */
const ATTRIBUTES = '* -filter -text -eol -ident -working-tree-encoding !diff -merge\n'
/** Larger files count as binary and are not held in memory; what is kept for a moment is not worth compressing. */
const CONFIG = '[core]\n\trepositoryformatversion = 0\n\tbare = false\n\tbigFileThreshold = 4m\n\tcompression = 0\n\tlooseCompression = 0\n[fastimport]\n\tunpackLimit = 1\n'
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
}

/**
 * Looks at a workspace without touching what its owner works with: any worker of the storage may, at any time, also several at once.
 * Objects and index are a folder of the look's own, which is gone after it. Runs nothing of the workspace.
 * @throws GitCutShort when there is too much to look at
 */
export async function withLook<T>(workspace: Workspace, base: TreeId, signal: AbortSignal, use: (look: Look) => Promise<T>): Promise<T> {
  await removeStale(workspace)
  const folder = join(workspace.control, `${PREFIX}${randomBytes(8).toString('hex')}`)
  try {
    await makeGitFolder(workspace, folder)
    const env = { GIT_DIR: folder, GIT_ALTERNATE_OBJECT_DIRECTORIES: JSON.stringify(join(workspace.baseline, 'objects')) }
    const onRepo = (args: readonly string[], options: GitOptions = {}) => gitHead(args, { ...env, GIT_WORK_TREE: workspace.repo }, workspace.repo, { signal, ...options })
    // Files that come and go while the agent works can make git stumble.
    const tree = await stage(workspace, base, onRepo).catch((error: unknown) => {
      if (error instanceof GitCutShort || signal.aborted) throw error
      return stage(workspace, base, onRepo)
    })
    const nowhere = join(folder, 'nowhere')
    const ask: Git = (args, options = {}) => gitHead(args, { ...env, GIT_WORK_TREE: nowhere, GIT_INDEX_FILE: join(nowhere, 'index') }, nowhere, { signal, ...options })
    return await use({ tree, ask })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function makeGitFolder(workspace: Workspace, folder: string): Promise<void> {
  for (const part of ['objects', 'refs', 'info', 'nowhere']) await mkdir(join(folder, part), { recursive: true, mode: 0o700 })
  await writeFile(join(folder, 'HEAD'), 'ref: refs/heads/none\n')
  await writeFile(join(folder, 'config'), CONFIG)
  await writeFile(join(folder, 'info', 'attributes'), ATTRIBUTES)
  const [from, to] = [join(workspace.baseline, 'index'), join(folder, 'index')]
  // Git takes an entry that is as young as the index for suspect: the copy must not look younger than it is.
  const { mtimeMs } = await stat(from)
  await copyFile(from, to)
  const second = Math.floor(mtimeMs / 1000)
  await utimes(to, second, second)
}

/** What git says, as far as `maxBytes` allow. Names are bytes as latin1. */
export type Git = (args: readonly string[], options?: GitOptions) => Promise<{ bytes: Buffer; isCut: boolean }>

async function stage(workspace: Workspace, base: TreeId, git: Git): Promise<TreeId> {
  const before = new Set(await namesFrom(git, ['ls-tree', '-r', '-z', '--name-only', base]))
  const { files, gone, unread } = await sortChanged(workspace.repo, await namesFrom(git, ['ls-files', '-z', '--modified', '--deleted', '--others', '--exclude-standard']), before)
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
