import { z } from 'zod'

/**
 * What one owner of a task wrote of its full output. The parts of a task, in their order, are the whole: each owner has a file of its own, so
 * one that is a ghost writes behind what counts (G4), and the log's position and these lengths are stored in one step (G5).
 */
export const OutputPart = z.object({
  claim: z.int().nonnegative(),
  attempt: z.int().nonnegative(),
  /** On which storage it lies. */
  storage_id: z.string(),
  bytes: z.int().nonnegative(),
  /** Why there should be more. */
  cut: z.string().optional(),
})
export type OutputPart = z.infer<typeof OutputPart>

/** Why nothing of an ended task is kept any more. */
export const GoneReason = z.enum(['retention', 'total_bytes', 'agent_bytes'])
export type GoneReason = z.infer<typeof GoneReason>

/** What of an ended task is in the blob store. Times are Redis TIME in ms. */
export const Kept = z.object({
  at: z.int(),
  /** All its blobs together. */
  bytes: z.int().nonnegative(),
  /** Which of its manifests counts: whoever kept it twice left the other to the collector. */
  edition: z.string().regex(/^[0-9a-z]{1,32}$/),
  gone: z.object({ at: z.int(), why: GoneReason }).optional(),
})
export type Kept = z.infer<typeof Kept>
