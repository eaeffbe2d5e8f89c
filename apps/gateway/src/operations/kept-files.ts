import { BlobFault, type BlobStore, type Kept, LongshoreError } from '@longshore/contracts'
import { type KeptTask, openKept } from '@longshore/blobs'

import { toTimestamp } from './parameters.ts'
import type { FilesTask, TaskFiles } from './task-files-port.ts'

/**
 * Answers from the blob store what was kept of an ended task, whether or not a worker is alive; everything else from where it is live.
 * Where the store does not work, a worker that still has the workspace is asked.
 */
export function keptFirst(store: BlobStore, live: TaskFiles): TaskFiles {
  const ask = async <T>(task: FilesTask, fromKept: (kept: KeptTask) => Promise<T>, fromLive: () => Promise<T>): Promise<T> => {
    const { kept } = task
    if (kept === undefined) return fromLive()
    if (kept.gone !== undefined) throw gone(kept.gone)
    try {
      return await fromKept(await opened(store, task, kept))
    } catch (error) {
      if (!(error instanceof BlobFault)) throw error
      return fromLive().catch(() => { throw unavailable(error) })
    }
  }
  return {
    list: (task, query, signal) => ask(task, (kept) => kept.list(query), () => live.list(task, query, signal)),
    diff: (task, query, signal) => ask(task, (kept) => kept.diff({ path: query.path, maxBytes: query.max_bytes }), () => live.diff(task, query, signal)),
    read: (task, query, signal) => ask(task, async (kept) => {
      const { size, modifiedAt, content } = await kept.file(query.path)
      const [head, bytes] = [await bytesOf(content({ start: 0, end: HEAD_BYTES })), await bytesOf(content({ start: query.offset, end: query.offset + query.limit }))]
      return { bytes, size, modifiedAt, head: head.toString('hex') }
    }, () => live.read(task, query, signal)),
    output: (task, range, signal) => ask(task, async ({ manifest, output }) => {
      const total = manifest.blobs.output?.bytes ?? 0
      const note = manifest.notes.output
      return { total, ...(note === undefined ? {} : { note }), content: total === 0 ? nothing() : (await output(range)).content }
      // Without parts the live answer would be that nothing was said.
    }, () => (task.kept !== undefined && task.output_parts === undefined ? Promise.reject(new Error('no parts')) : live.output(task, range, signal))),
    archive: (task, signal) => ask(task, async (kept) => (await kept.archive()).content, () => live.archive(task, signal)),
  }
}

const HEAD_BYTES = 16

async function opened(store: BlobStore, { id }: FilesTask, { edition }: Kept): Promise<KeptTask> {
  return await openKept(store, id, edition) ?? Promise.reject(new BlobFault('unavailable', 'the blob store does not have what was kept of the task: gateways and workers must share BLOBS_DIR'))
}

async function bytesOf(content: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = []
  for await (const piece of content) pieces.push(piece)
  return Buffer.concat(pieces)
}

async function* nothing(): AsyncGenerator<Uint8Array> {}

const WHY = {
  retention: 'it was kept for as long as this deployment keeps what tasks leave (BLOB_RETENTION_DAYS)',
  total_bytes: 'the blob store was full (BLOB_TOTAL_BYTES), and it was the oldest',
  agent_bytes: 'its agent had used up what is kept for one (BLOB_AGENT_BYTES), and it was the oldest',
} as const

function gone({ at, why }: NonNullable<Kept['gone']>): LongshoreError {
  return new LongshoreError('file_not_found', `what the task left was removed on ${toTimestamp(at)}: ${WHY[why]}`, {
    field: 'task_id', next: 'get_task_status and get_task_history still tell what it did.',
  })
}

function unavailable(fault: BlobFault): LongshoreError {
  return new LongshoreError('unavailable', `what was kept of the task cannot be read now: ${fault.message}`, { next: 'Try again in some seconds; if it stays, tell the operator: /ready says how the blob store stands.', cause: fault })
}
