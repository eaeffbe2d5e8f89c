import type { ExecutionEvent, Log } from '@longshore/contracts'
import { changesBetween, snapshot, type TreeId } from './changes.ts'
import type { Workspace } from './storage.ts'

/** More changes at once than this (an agent that unpacked an archive) are counted, not listed. */
const MAX_FILE_EVENTS = 500
const MIN_PAUSE_MS = 1_000
/** Scanning takes at most a tenth of the time, however large the tree is. */
const PAUSE_PER_SCAN = 10

/** Turns what changed in a workspace since a snapshot into events. One scan at a time. */
export interface FileWatch {
  /** Something may have changed. */
  hint(): void
  /** How long until a hinted scan is due; undefined without a hint. */
  dueInMs(): number | undefined
  /** The changes since `from`, and the snapshot that was taken. A scan that fails is logged and says that nothing changed. */
  scan(from: TreeId): Promise<{ events: ExecutionEvent[]; tree: TreeId }>
  /** How many files differ between the two. */
  count(from: TreeId, to: TreeId): Promise<number>
}

/** @param clean takes out secrets: an agent can name a file after one, and events are read by more people than files */
export function createFileWatch(workspace: Workspace, log: Log, clean: (text: string) => string = (text) => text): FileWatch {
  let isHinted = false
  let notBefore = 0
  return {
    hint: () => { isHinted = true },
    dueInMs: () => (isHinted ? Math.max(0, notBefore - performance.now()) : undefined),
    scan: async (from) => {
      isHinted = false
      const began = performance.now()
      try {
        const tree = await snapshot(workspace)
        const changes = await changesBetween(workspace, from, tree)
        if (changes.length > MAX_FILE_EVENTS) log.warn({ changes: changes.length, listed: MAX_FILE_EVENTS }, 'too many files changed at once to list them all')
        return { events: changes.slice(0, MAX_FILE_EVENTS).map((change) => ({ type: 'task.file_changed', payload: { ...change, path: clean(change.path) } })), tree }
      } catch (error) {
        log.warn({ err: error }, 'cannot see which files changed')
        return { events: [], tree: from }
      } finally {
        const ended = performance.now()
        notBefore = ended + Math.max(MIN_PAUSE_MS, (ended - began) * PAUSE_PER_SCAN)
      }
    },
    count: async (from, to) => (await changesBetween(workspace, from, to)).length,
  }
}
