import type { GoneReason, TaskId } from '@longshore/contracts'
import type { ArchivedTask, KeptTask } from '@longshore/ledger'

/** How much is kept, and for how long. */
export interface KeepLimits {
  retentionMs: number
  totalBytes: number
  /** Of one agent; undefined: without a limit. */
  agentBytes: number | undefined
  /** Of archived conversations, and for how long what their tasks left is kept, too. */
  archive: { retentionMs: number; totalBytes: number }
}

export interface Collect { id: TaskId; why: GoneReason; bytes: number }

/**
 * Which tasks' blobs go: those beyond their time, then of each agent that has too much its oldest, then the oldest of all. Nothing goes
 * that a limit does not name.
 * @param tasks in the order of their ends
 */
export function whatToCollect(tasks: readonly KeptTask[], limits: KeepLimits, now: number): Collect[] {
  const [collect, stay]: [Collect[], KeptTask[]] = [[], []]
  for (const task of tasks) {
    const retentionMs = task.isArchived ? Math.max(limits.retentionMs, limits.archive.retentionMs) : limits.retentionMs
    if (task.endedAt + retentionMs <= now) collect.push(as(task, 'retention'))
    else stay.push(task)
  }
  const bytesOf = new Map<string, number>()
  for (const { agentId, kept } of stay) bytesOf.set(agentId, (bytesOf.get(agentId) ?? 0) + kept.bytes)
  let total = stay.reduce((sum, { kept }) => sum + kept.bytes, 0)
  const rest = stay.filter((task) => {
    const ofAgent = bytesOf.get(task.agentId) ?? 0
    if (ofAgent <= (limits.agentBytes ?? Infinity)) return true
    bytesOf.set(task.agentId, ofAgent - task.kept.bytes)
    total -= task.kept.bytes
    collect.push(as(task, 'agent_bytes'))
    return false
  })
  for (const task of rest) {
    if (total <= limits.totalBytes) break
    total -= task.kept.bytes
    collect.push(as(task, 'total_bytes'))
  }
  return collect
}

/**
 * Which archived conversations go, by the same rule within limits of their own.
 * @param archives in the order in which they were made
 */
export function archivesToCollect(archives: readonly ArchivedTask[], limits: KeepLimits, now: number): Collect[] {
  const documents = archives.map(({ id, agentId, archived }) => ({ id, agentId, endedAt: archived.at, kept: { at: archived.at, bytes: archived.bytes, edition: archived.edition } }))
  return whatToCollect(documents, { ...limits, ...limits.archive }, now)
}

function as({ id, kept }: KeptTask, why: GoneReason): Collect {
  return { id, why, bytes: kept.bytes }
}
