import { BlobKey, Kept, TaskId } from '@longshore/contracts'
import { z } from 'zod'

/** The blobs that are kept of a task, besides the manifest that names them. */
export const KEPT_BLOBS = ['output', 'diff', 'index', 'tar'] as const
export type KeptBlob = (typeof KEPT_BLOBS)[number]

const Content = z.object({ bytes: z.int().nonnegative(), sha256: z.string() })

/**
 * What is kept of an ended task. Put last: whoever sees it sees all that it names, and without it nothing of that is seen. Each keeping is an
 * edition of its own, so that two at once are never mixed.
 */
export const Manifest = z.object({
  v: z.literal(1),
  task_id: TaskId,
  edition: Kept.shape.edition,
  blobs: z.partialRecord(z.enum(KEPT_BLOBS), Content),
  /** Why one is not there, or not whole, in words for people. */
  notes: z.partialRecord(z.enum(KEPT_BLOBS), z.string()),
  tree: z.object({ entries: z.int(), truncated: z.boolean(), changes_unknown: z.string().optional(), left_out: z.int(), left_out_bytes: z.int() }),
  diff: z.object({ files_total: z.int(), truncated: z.boolean() }),
})
export type Manifest = z.infer<typeof Manifest>

export function keptKey(taskId: TaskId, edition: string, what: KeptBlob | 'manifest'): BlobKey {
  return BlobKey.parse(`${taskId}.${edition}.${what}`)
}

/** The beginning of the keys of everything that is kept of a task. */
export function keptPrefix(taskId: TaskId): string {
  return `${taskId}.`
}
