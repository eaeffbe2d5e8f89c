/** How a lane keeps to the receiver's rate limit, which it only learns from refusals. Times in ms. */
export interface Pace {
  /** Nothing goes before. */
  openAt: number
  /** Edits wait longer: what they do not use is there for an ending. */
  editsOpenAt: number
  /** Between edits while the receiver limits us; 0: it does not. */
  spacingMs: number
  limitedAt: number
}

export const FREE: Pace = { openAt: 0, editsOpenAt: 0, spacingMs: 0, limitedAt: 0 }

/** Without a refusal for this long the receiver is taken for unlimited again. */
const FORGET_MS = 5 * 60_000
/** A refusal says when one message fits; edits leave room for two more before they go on. */
const RESERVE = 2

/** After a refusal that named its wait. */
export function afterLimit(pace: Pace, now: number, retryAfterMs: number): Pace {
  // Right after a first burst the wait is a part of the interval between messages: the longest one seen is nearest to it.
  const spacingMs = Math.max(pace.spacingMs, retryAfterMs * 2)
  return { openAt: now + retryAfterMs, editsOpenAt: now + retryAfterMs + RESERVE * (spacingMs / 2), spacingMs, limitedAt: now }
}

/** After a message was taken. */
export function afterSent(pace: Pace, now: number): Pace {
  if (now - pace.limitedAt > FORGET_MS) return FREE
  // Half the rate for edits: in between the receiver's bucket fills.
  return { ...pace, editsOpenAt: Math.max(pace.editsOpenAt, now + pace.spacingMs) }
}

/** Wait before try number `n` (from 1) after a fault: 0.25 s doubling to 15 s, with `random` (0 to 1) taking off up to a quarter. */
export function backoffMs(n: number, random: number): number {
  return Math.min(250 * 2 ** Math.min(n - 1, 10), 15_000) * (1 - random / 4)
}
