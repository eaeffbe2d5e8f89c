import { type KeptTask, openKept } from '@longshore/blobs'
import { BlobFault, type BlobStore, LongshoreError, type TaskId } from '@longshore/contracts'
import type { Ledger } from '@longshore/ledger'
import { count } from './render/lines.ts'

export type KeptFileName = 'diff' | 'output'
type Found =
  | { kind: 'file'; name: string; mimetype: string; bytes: Buffer; note: string | undefined }
  /** The task left none. */
  | { kind: 'nothing' }
  /** Not yet, or not here. */
  | { kind: 'away'; reason: string; endedAt: number | undefined }

/** What ended tasks left, small enough for a chat. */
export interface KeptFiles { read(taskId: TaskId, what: KeptFileName): Promise<Found> }

/** Homeservers take 50 MB as they ship; people read none of that in a chat. */
const MAX_BYTES: Readonly<Record<KeptFileName, number>> = { diff: 1024 * 1024, output: 4 * 1024 * 1024 }

export function createKeptFiles(store: BlobStore, ledger: Pick<Ledger, 'get'>): KeptFiles {
  return {
    async read(taskId, what) {
      const task = await ledger.get(taskId)
      const away = (reason: string): Found => ({ kind: 'away', reason, endedAt: task?.ended_at })
      if (task?.kept === undefined) return away('nothing of the task was kept in time')
      if (task.kept.gone !== undefined) return { kind: 'nothing' }
      try {
        const kept = await openKept(store, taskId, task.kept.edition)
        if (kept === undefined) return away('what was kept of the task is not in this blob store (BLOBS_DIR)')
        return await (what === 'diff' ? readDiff(taskId, kept) : readOutput(taskId, kept))
      } catch (error) {
        if (error instanceof LongshoreError) return { kind: 'nothing' }
        if (error instanceof BlobFault) return away(error.message)
        throw error
      }
    },
  }
}

async function readDiff(taskId: TaskId, kept: KeptTask): Promise<Found> {
  const { patch, truncated, files_shown: shown, files_total: total } = await kept.diff({ path: undefined, maxBytes: MAX_BYTES.diff })
  if (patch === '') return { kind: 'nothing' }
  return { kind: 'file', name: `${taskId}.patch`, mimetype: 'text/x-patch', bytes: Buffer.from(patch), note: truncated ? `cut: ${shown} of ${count(total, 'file')}` : undefined }
}

/** The end of it, where it is long. */
async function readOutput(taskId: TaskId, kept: KeptTask): Promise<Found> {
  const total = kept.manifest.blobs.output?.bytes ?? 0
  if (total === 0) return { kind: 'nothing' }
  const start = Math.max(0, total - MAX_BYTES.output)
  const pieces: Uint8Array[] = []
  for await (const piece of (await kept.output({ start, end: total })).content) pieces.push(piece)
  return { kind: 'file', name: `${taskId}.log`, mimetype: 'text/plain', bytes: Buffer.concat(pieces), note: start === 0 ? undefined : `the last ${MAX_BYTES.output / 1024 / 1024} MiB of ${Math.ceil(total / 1024 / 1024)}` }
}
