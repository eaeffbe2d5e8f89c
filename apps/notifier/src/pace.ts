/**
 * How a lane keeps to the receiver's rate limit, which it only learns from refusals: a token bucket that mirrors the receiver's.
 * Endings take what there is; edits leave a reserve for them.
 */
export interface Pace {
  /** Time in which the receiver lets one message through; 0: it was never seen to limit us. */
  intervalMs: number
  /** Messages that fit at `at`. */
  tokens: number
  at: number
  limitedAt: number
}

export const FREE: Pace = { intervalMs: 0, tokens: 0, at: 0, limitedAt: 0 }

/** Without a refusal for this long the receiver is taken for unlimited again. */
const FORGET_MS = 5 * 60_000
/** What edits leave: three tasks may end at once and be told of without a wait. */
const RESERVE = 3
/** Synapse's default burst: more never adds up. */
const BURST = 10

/**
 * One in five seconds: Synapse's default. The first wait that a refusal names is only the rest of an interval;
 * where the limit is wider, edits come a little later than they could.
 */
const LEAST_INTERVAL_MS = 5_000

/** After a refusal that named its wait. */
export function afterLimit(pace: Pace, now: number, retryAfterMs: number): Pace {
  const intervalMs = Math.max(pace.intervalMs, retryAfterMs, LEAST_INTERVAL_MS)
  return { intervalMs, tokens: 1 - retryAfterMs / intervalMs, at: now, limitedAt: now }
}

/** After a message was taken. */
export function afterSent(pace: Pace, now: number): Pace {
  if (now - pace.limitedAt > FORGET_MS) return FREE
  return { ...pace, tokens: Math.max(0, tokensAt(pace, now) - 1), at: now }
}

/** How long edits have to wait from now; 0: they may go. */
export function editsWaitMs(pace: Pace, now: number): number {
  if (pace.intervalMs === 0) return 0
  return Math.max(0, (RESERVE + 1 - tokensAt(pace, now)) * pace.intervalMs)
}

function tokensAt(pace: Pace, now: number): number {
  return pace.intervalMs === 0 ? BURST : Math.min(BURST, pace.tokens + (now - pace.at) / pace.intervalMs)
}

/** Wait before try number `n` (from 1) after a fault: 0.25 s doubling to 15 s, with `random` (0 to 1) taking off up to a quarter. */
export function backoffMs(n: number, random: number): number {
  return Math.min(250 * 2 ** Math.min(n - 1, 10), 15_000) * (1 - random / 4)
}
