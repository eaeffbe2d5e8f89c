import { z } from 'zod'

import { Letter } from '../notice.ts'

/**
 * An entry that may be on its way: body and id never change any more, however often it is sent (G8).
 * What `place`, `account`, `root` and `content` mean is the sink's own matter.
 */
export const Frozen = z.object({
  v: z.literal(1),
  notice: Letter,
  /** Transaction id: the receiver drops what it has seen under it. */
  txn: z.string(),
  place: z.string(),
  /** Who sends: the receiver remembers transaction ids per account. */
  account: z.string(),
  content: z.record(z.string(), z.unknown()),
  /** ms since the epoch, by the sender's clock. */
  frozen_at: z.int(),
})
export type Frozen = z.infer<typeof Frozen>
