import { z } from 'zod'

import { GoneReason } from './kept.ts'

/** Characters of what somebody says about a conversation when it is archived. */
export const MAX_SUMMARY_CHARACTERS = 4_000

/** The archived conversation of an ended task; a blob holds it. Times are Redis TIME in ms. */
export const Archived = z.object({
  at: z.int(),
  /** Who archived it, and what they say about it. */
  by: z.string(),
  summary: z.string().optional(),
  /** Which of its documents counts: whoever wrote another beside it left that to the collector. */
  edition: z.string().regex(/^[0-9a-z]{1,32}$/),
  bytes: z.int().nonnegative(),
  messages: z.int().nonnegative(),
  gone: z.object({ at: z.int(), why: GoneReason }).optional(),
})
export type Archived = z.infer<typeof Archived>
