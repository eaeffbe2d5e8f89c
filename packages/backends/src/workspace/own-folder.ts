import { lstat, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/**
 * Git runs what its own folder says: configuration, attributes and hooks lie in there. So that folder never lies on a storage, which agents of a
 * shared server can write, but beneath this one, which is on no machine but the worker's. Agents that are on that machine and have the worker's
 * user must not see it: who confines them hides it.
 */
export function ownRoot(): string {
  return join(tmpdir(), `longshore-git-${process.getuid?.() ?? 'own'}`)
}

/** No filter, encoding or driver that attributes in the tree name: these come before them. What is binary, git says. */
const ATTRIBUTES = '* -filter -text -eol -ident -working-tree-encoding !diff -merge\n'
/** A window onto a pack fits into what git may take of memory. */
const CONFIG = '[core]\n\trepositoryformatversion = 0\n\tbare = false\n\tpackedGitWindowSize = 32m\n\tpackedGitLimit = 256m\n[fastimport]\n\tunpackLimit = 1\n'

/** Makes the root. Before any agent starts: what is not there cannot be hidden from it. */
export async function openOwnRoot(): Promise<string> {
  const root = ownRoot()
  await mkdir(root, { mode: 0o700, recursive: true })
  const found = await lstat(root)
  // Anybody may make names in the folder of temporary files.
  if (!found.isDirectory() || found.uid !== (process.getuid?.() ?? found.uid) || (found.mode & 0o077) !== 0) throw new Error(`${root} is not a folder of this user alone: remove it, or set TMPDIR`)
  return root
}

/** A folder that nobody else reaches, for as long as `use` takes. What processes that died have left goes first. */
export async function withOwnFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const root = await openOwnRoot()
  await removeLeft(root)
  const folder = await mkdtemp(join(root, `${process.pid}-`))
  try {
    return await use(folder)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** A git directory for one use: nothing but what is written here, and no objects. */
export async function withGitFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  return withOwnFolder(async (folder) => {
    for (const part of ['refs', 'info']) await mkdir(join(folder, part))
    await writeFile(join(folder, 'HEAD'), 'ref: refs/heads/none\n')
    await writeFile(join(folder, 'config'), CONFIG)
    await writeFile(join(folder, 'info', 'attributes'), ATTRIBUTES)
    return use(folder)
  })
}

async function removeLeft(root: string): Promise<void> {
  for (const name of await readdir(root)) if (!isAlive(Number.parseInt(name, 10))) await rm(join(root, name), { recursive: true, force: true })
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
