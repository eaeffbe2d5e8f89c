import { randomBytes } from 'node:crypto'
import { lstat } from 'node:fs/promises'

import { GitCutShort, outputBytes, readOutput, type Storage, type WholeDiff, wholeDiff, type Workspace, workspaceOf } from '@longshore/backends'
import { KEPT_BLOBS, keptKey, type KeptBlob, Manifest, toLine } from '@longshore/blobs'
import { type BlobContent, type BlobStore, type Kept, type Log, LongshoreError, type Task } from '@longshore/contracts'

import { keepTree } from './keep-tree.ts'

export interface KeepOptions {
  store: BlobStore
  storage: Storage
  /** Most bytes of one task (BLOB_TASK_BYTES). */
  maxBytes: number
  log: Log
}

/** What of one patch is kept; beyond it files are named. */
const MAX_PATCH_BYTES = 16 * 1024 * 1024
const COMPARE_MS = 60_000

/** One keeping under way. */
export interface Keeping extends KeepOptions {
  task: Task
  workspace: Workspace
  signal: AbortSignal
  notes: Manifest['notes']
  /** Stores one of its blobs. */
  put(what: KeptBlob, source: AsyncIterable<Uint8Array>): Promise<BlobContent>
}

/**
 * Puts all that an ended task leaves into the blob store: output, diff, tree, contents. The manifest is put last and names the others by their
 * checksums: cut short anywhere, nothing is seen of it, and it is done again as another edition. Where nothing is left it says so: what was kept may be removed.
 * @throws BlobFault
 */
export async function keepTask(options: KeepOptions, task: Task, signal: AbortSignal): Promise<Pick<Kept, 'bytes' | 'edition'>> {
  const { store, storage, maxBytes } = options
  const edition = `e${randomBytes(8).toString('hex')}`
  const blobs: Manifest['blobs'] = {}
  const notes: Manifest['notes'] = {}
  const keeping: Keeping = {
    ...options, task, signal, notes, workspace: workspaceOf(storage, task.id),
    put: async (what, source) => {
      const content = await store.put(keptKey(task.id, edition, what), source, { signal })
      blobs[what] = content
      return content
    },
  }
  try {
    await keepOutput(keeping)
    const began = await idOf(keeping.workspace)
    const diff = await keepDiff(keeping)
    const tree = await keepTree(keeping, diff, Math.max(0, maxBytes - sizeOf(blobs)))
    // Whoever holds it open goes on reading what is the next task's by now.
    if ((await idOf(keeping.workspace)) !== began) throw new Error('the workspace went on to a later task while it was kept')
    const manifest: Manifest = { v: 1, task_id: task.id, edition, blobs, notes, tree, diff: { files_total: diff?.files_total ?? 0, truncated: diff?.truncated ?? true } }
    const { bytes } = await store.put(keptKey(task.id, edition, 'manifest'), once(Buffer.from(JSON.stringify(Manifest.parse(manifest)))), { signal })
    return { edition, bytes: sizeOf(blobs) + bytes }
  } catch (error) {
    // Nobody knows of this edition; what cannot be removed now is collected later.
    await Promise.allSettled(KEPT_BLOBS.map((what) => store.delete(keptKey(task.id, edition, what))))
    throw error
  }
}

/** Which folder it is; undefined: there is none. */
async function idOf({ repo }: Workspace): Promise<string | undefined> {
  return lstat(repo).then(({ dev, ino }) => `${dev}.${ino}`, () => undefined)
}

function sizeOf(blobs: Manifest['blobs']): number {
  return Object.values(blobs).reduce((sum, { bytes }) => sum + bytes, 0)
}

async function keepOutput({ put, task, workspace, storage, maxBytes, notes }: Keeping): Promise<void> {
  const parts = task.output_parts ?? []
  if (parts.length === 0) return
  const total = outputBytes(parts)
  await put('output', readOutput(workspace, parts, storage.id, { start: 0, end: Math.min(total, maxBytes) }))
  const cut = parts.find((part) => part.cut !== undefined)?.cut ?? (total > maxBytes ? 'quota' : undefined)
  if (cut !== undefined) notes.output = cut === 'quota' ? 'it is longer than is kept of one task (BLOB_TASK_BYTES)' : 'the disk took no more of it'
  if (parts.some((part) => part.storage_id !== storage.id)) notes.output = 'a part of it stayed on another storage'
}

/** undefined: it cannot be told what changed. */
async function keepDiff({ put, workspace, signal, notes, log }: Keeping): Promise<WholeDiff | undefined> {
  let found: WholeDiff
  try {
    found = await wholeDiff(workspace, MAX_PATCH_BYTES, AbortSignal.any([signal, AbortSignal.timeout(COMPARE_MS)]))
  } catch (error) {
    signal.throwIfAborted()
    notes.diff = whyNot(error)
    log.info({ reason: String(error) }, 'no diff of a task is kept')
    return undefined
  }
  await put('diff', linesOf(found.files))
  return found
}

function whyNot(error: unknown): string {
  if (error instanceof LongshoreError) return error.message
  const isTooMuch = error instanceof GitCutShort || (error instanceof Error && error.name === 'TimeoutError')
  return isTooMuch ? 'there was too much in the workspace to compare it with its start in time' : 'the workspace could not be compared with its start'
}

async function* linesOf(files: WholeDiff['files']): AsyncGenerator<Uint8Array> {
  for (const file of files) yield toLine(file)
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}
