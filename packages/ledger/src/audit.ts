import { z } from 'zod'

import type { LedgerContext } from './create-ledger.ts'
import type { Ledger } from './ledger.ts'

/** What somebody did, or wanted to do, from a chat. */
export const AuditEntry = z.object({
  v: z.literal(1),
  /** Redis TIME in ms. */
  at: z.int(),
  /** `matrix:@user:server`. */
  by: z.string(),
  /** Their role at that place; absent: none. */
  role: z.string().optional(),
  deed: z.string(),
  /** The words that came with it, cut. */
  words: z.string().optional(),
  task_id: z.string().optional(),
  result: z.enum(['done', 'refused', 'failed']),
  /** What they were answered. */
  answer: z.string(),
  /** Where it was said: room and event. */
  room_id: z.string(),
  event_id: z.string(),
})
export type AuditEntry = z.infer<typeof AuditEntry>

/** Entries that are kept: the newest. */
export const MAX_AUDIT_ENTRIES = 10_000

/** Reads what notifiers wrote down. */
export function auditQueries({ redis, keys }: LedgerContext): Pick<Ledger, 'audit'> {
  return {
    async audit(limit, offset = 0) {
      const stored = await redis.lrange(keys.audit, offset, offset + limit - 1)
      return stored.flatMap((text) => AuditEntry.safeParse(JSON.parse(text)).data ?? [])
    },
  }
}
