import { constants } from 'node:fs'
import { access, lstat, mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { FileChange } from '@longshore/contracts'
import { GitCutShort, gitOf } from './git.ts'
import type { Workspace } from './storage.ts'

/** The id of a git tree: the state of `repo` at one moment. */
export type TreeId = string

const CHANGES = { A: 'added', M: 'modified', T: 'modified', D: 'deleted' } as const

/** Makes place for the objects and the index of `repo`. The state from which changes are counted is the first `snapshot` after it. */
export async function createBaseline(workspace: Workspace): Promise<void> {
  await mkdir(join(workspace.baseline, 'objects'), { recursive: true, mode: 0o700 })
}

/**
 * The state of `repo` now. Reads regular files and link texts, follows no link, enters no nested repository and runs nothing of the workspace.
 * What the agent's `.gitignore` leaves out is left out. Not to be called twice at the same time for one workspace.
 */
export async function snapshot(workspace: Workspace): Promise<TreeId> {
  await rm(join(workspace.baseline, 'index.lock'), { force: true }) // of a git that was cut short, or a worker that died: only a task's owner comes here
  try {
    await stage(workspace)
  } catch (error) {
    if (error instanceof GitCutShort) throw error
    // A file that became a folder, or one that we may not read: begin with an empty index and what is readable.
    await gitOf(workspace, ['read-tree', '--empty'])
    await stage(workspace, (name) => isReadable(join(workspace.repo, name)))
  }
  return (await gitOf(workspace, ['write-tree'])).trim()
}

async function stage(workspace: Workspace, accept?: (name: string) => Promise<boolean>): Promise<void> {
  const listed = await gitOf(workspace, ['ls-files', '-z', '--cached', '--others', '--exclude-standard'])
  const files: string[] = []
  for (const name of listed.split('\0')) if (name !== '' && !name.endsWith('/') && (accept === undefined || (await accept(name)))) files.push(name)
  await gitOf(workspace, ['update-index', '--add', '--remove', '--replace', '-z', '--stdin'], files.map((name) => `${name}\0`).join(''))
}

async function isReadable(path: string): Promise<boolean> {
  try {
    if (!(await lstat(path)).isSymbolicLink()) await access(path, constants.R_OK)
    return true
  } catch {
    return false
  }
}

/** What differs between two snapshots, as names and kinds only. */
export async function changesBetween(workspace: Workspace, from: TreeId, to: TreeId): Promise<FileChange[]> {
  if (from === to) return []
  return parseChanges(await gitOf(workspace, ['diff-tree', '-r', '-z', '--no-renames', '--no-ext-diff', '--name-status', from, to]))
}

/** Parses `--name-status -z`: kind, NUL, name, NUL. */
export function parseChanges(output: string): FileChange[] {
  const fields = output.split('\0')
  const changes: FileChange[] = []
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const change = CHANGES[fields[i] as keyof typeof CHANGES] as (typeof CHANGES)[keyof typeof CHANGES] | undefined
    const path = fields[i + 1]
    if (change !== undefined && path !== undefined && path !== '') changes.push({ path: path.toWellFormed(), change })
  }
  return changes
}
