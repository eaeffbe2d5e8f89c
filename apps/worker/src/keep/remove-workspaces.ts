import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { lstat, readdir, rename } from 'node:fs/promises'
import { join } from 'node:path'

import { type Storage, workspaceOf } from '@longshore/backends'
import { isOver, type Log, type Task, TaskId } from '@longshore/contracts'
import type { Ledger } from '@longshore/ledger'

import { whyNotOurs } from '../ledger-mark.ts'

export interface RemoveWorkspacesOptions {
  ledger: Pick<Ledger, 'get' | 'debts' | 'identity' | 'lease' | 'oweKeeping' | 'forgetWorkspace'>
  storage: Storage
  /** How long after its end a workspace stays. */
  retentionMs: number
  /** How long a named one stays that no task used. */
  namedRetentionMs: number
  isDryRun: boolean
  markFile: string
  name: string
  /** Redis ms. */
  now: () => number
  onRemoved(count: number): void
  log: Log
}

const LEASE_MS = 60_000
const DEBTS = 10_000
/** Moved aside first, so that no half of a workspace is ever taken for one. */
const ASIDE = '.longshore-removed-'

/**
 * Removes workspaces of ended tasks from this worker's storage, once what they held is in the blob store: only folders that bear a task's name, of tasks that
 * this ledger knows as over, on a storage that is this ledger's (G10).
 * @returns a round
 */
export function createWorkspaceRemover(options: RemoveWorkspacesOptions): (signal: AbortSignal) => Promise<void> {
  const { ledger, storage, isDryRun, markFile, name, log, onRemoved } = options
  return async (signal) => {
    if (await whyNotOurs(markFile, await ledger.identity()) !== undefined) return
    if (!(await ledger.lease(`remove-workspaces:${storage.id}`, name, LEASE_MS))) return
    const debts = new Set(await ledger.debts(DEBTS))
    let removed = 0
    for (const entry of await readdir(storage.root)) {
      if (signal.aborted) break
      if (entry.startsWith(ASIDE)) await removeTree(join(storage.root, entry), log)
      const id = TaskId.safeParse(entry).data
      if (id === undefined || debts.has(id)) continue
      const task = await ledger.get(id).catch(() => undefined)
      if (!isOverHere(task, storage)) continue
      // What was never kept stays until it is: nobody else has it.
      if (task.kept === undefined) {
        if (!isDryRun) await ledger.oweKeeping(id)
        continue
      }
      if (!isDue(task, options) || (await isAwaited(task, options))) continue
      if (isDryRun) log.info({ task_id: id }, 'would remove the workspace of a task that is over')
      else if (await removeWorkspace(storage, id, log)) removed += 1
    }
    if (removed === 0) return
    onRemoved(removed)
    log.info({ removed }, 'removed workspaces of tasks that are over')
  }
}

/** One that ended between two attempts without a word names no storage: it is where it was found. */
function isOverHere(task: Task | undefined, storage: Storage): task is Task {
  return task !== undefined && isOver(task.state) && (task.handle?.storage_id ?? task.output_parts?.at(-1)?.storage_id ?? storage.id) === storage.id
}

function isDue({ ended_at: endedAt = Infinity }: Task, { retentionMs, now }: RemoveWorkspacesOptions): boolean {
  return endedAt + retentionMs <= now()
}

/** A named workspace is where its last task was, and waits there for the next one, until none came for so long; its name is free before its files go. */
async function isAwaited({ id, agent_id: agent, workspace, ended_at: endedAt = Infinity }: Task, { ledger, storage, namedRetentionMs, isDryRun, now }: RemoveWorkspacesOptions): Promise<boolean> {
  if (workspace?.name === undefined || !(await lstat(workspaceOf(storage, id).repo).then(() => true, () => false))) return false
  if (endedAt + namedRetentionMs > now()) return true
  return !isDryRun && !(await ledger.forgetWorkspace(agent, workspace.name, namedRetentionMs))
}

async function removeWorkspace({ root }: Storage, id: TaskId, log: Log): Promise<boolean> {
  const aside = join(root, `${ASIDE}${id}`)
  try {
    await rename(join(root, id), aside)
  } catch (error) {
    log.warn({ task_id: id, reason: String(error) }, 'the workspace of a task that is over cannot be removed; tried again later')
    return false
  }
  return removeTree(aside, log)
}

/**
 * Links are removed, not followed. Folders that the agent closed to us are opened, where we may. By programs that walk down: a tree can be deeper than a path
 * is long, and an agent that makes one would have its workspace stay for ever.
 */
async function removeTree(path: string, log: Log): Promise<boolean> {
  const remove = () => run('rm', ['-rf', '--', path])
  if (await remove() || (await run('chmod', ['-R', 'u+rwx', '--', path]), await remove())) return true
  log.warn({ path }, 'a workspace of a task that is over cannot be removed whole; tried again later')
  return false
}

/** What it complains about are names that agents chose: nobody reads them. */
async function run(program: string, args: readonly string[]): Promise<boolean> {
  const child = spawn(program, args, { stdio: 'ignore' })
  const [code] = await once(child, 'close') as [number | null]
  return code === 0
}
