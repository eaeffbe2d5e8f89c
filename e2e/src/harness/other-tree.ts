import { access, mkdir, mkdtemp, readdir, readFile, realpath, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

import { z } from 'zod'
import type { Tree } from './app-process.ts'

export const THIS_TREE = join(import.meta.dirname, '../../..')
/** What apps are made of. */
export const PARTS = ['apps', 'packages', 'infra', 'package.json', 'pnpm-lock.yaml'] as const

/** The apps and packages of another version in a folder of their own, with the dependencies that are installed here. */
export interface OtherTree extends Tree { remove(): Promise<void> }

/**
 * @param what names it in the note
 * @param fill puts `PARTS` into a folder, without any node_modules
 */
export async function makeTree(what: string, fill: (root: string) => Promise<void>): Promise<OtherTree> {
  const root = await mkdtemp(join(tmpdir(), 'longshore-tree-'))
  const remove = (): Promise<void> => rm(root, { recursive: true, force: true })
  try {
    await fill(root)
    const missing = await linkDependencies(root)
    const [lock, ours] = await Promise.all([root, THIS_TREE].map((tree) => readFile(join(tree, 'pnpm-lock.yaml'), 'utf8')))
    return { root, remove, note: lock === ours ? '' : noteOf(what, missing) }
  } catch (error) {
    await remove()
    throw error
  }
}

function noteOf(what: string, missing: readonly string[]): string {
  const lacks = missing.length === 0 ? 'nothing that it names is missing' : `missing here: ${missing.join(', ')}; let one commit end the use of a dependency, and a later one remove it`
  return `\n--- pnpm-lock.yaml of ${what} differs from the one here, and it runs with what is installed here: ${lacks}`
}

const Package = z.object({ name: z.string(), dependencies: z.record(z.string(), z.string()).default({}) })

/**
 * Packages of the tree are linked to each other, as its own package.json files say; others to where they are installed here. Node strips
 * types by a file's real path, which for the tree's own is outside of node_modules. @returns what is not installed here
 */
async function linkDependencies(root: string): Promise<string[]> {
  const [folders, installed] = await Promise.all([packageFolders(root), packageFolders(THIS_TREE)])
  const packages = await Promise.all(folders.map(async (folder) => ({ folder, says: Package.parse(JSON.parse(await readFile(join(root, folder, 'package.json'), 'utf8'))) })))
  const missing: string[] = []
  for (const { folder, says } of packages) {
    for (const [name, version] of Object.entries(says.dependencies)) {
      const own = version.startsWith('workspace:') ? packages.find((one) => one.says.name === name)?.folder : undefined
      const target = own === undefined ? await installedIn([folder, ...installed], name) : join(root, own)
      if (target === undefined) missing.push(`${name} (of ${folder})`)
      else await link(target, join(root, folder, 'node_modules', name))
    }
  }
  return missing
}

async function packageFolders(root: string): Promise<string[]> {
  const below = await Promise.all(['apps', 'packages'].map(async (part) => (await readdir(join(root, part))).map((name) => join(part, name))))
  const isPackage = await Promise.all([...below.flat(), 'infra'].map(async (folder) => ((await isThere(join(root, folder, 'package.json'))) ? [folder] : [])))
  return isPackage.flat()
}

async function installedIn(folders: readonly string[], name: string): Promise<string | undefined> {
  for (const folder of folders) {
    const path = join(THIS_TREE, folder, 'node_modules', name)
    if (await isThere(path)) return realpath(path)
  }
  return undefined
}

async function link(target: string, path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  await symlink(target, path)
}

function isThere(path: string): Promise<boolean> {
  return access(path).then(() => true, () => false)
}
