import type { Outcome } from '../sink.ts'

/** What came back: a status, or why there was none. The body is never looked at. */
export type Answer = { status: number; retryAfter: string | undefined } | { fault: string }

export interface Trial {
  /** Since the event happened. */
  ageMs: number
  /** Since its body was frozen: about since the first try. */
  triedMs: number
  isRetry: boolean
  giveUpMs: number
  now: number
  /** From 0 to 1. */
  random: number
}

const LEAST_WAIT_MS = 1_000
const MOST_WAIT_MS = 15 * 60_000
/** A wait longer than this is not believed. */
const MOST_RETRY_AFTER_MS = 60 * 60_000

/** What an answer means for the hook. Whatever is no success is tried again until `giveUpMs`: a receiver may be mended. */
export function judgeAnswer(answer: Answer, trial: Trial): Outcome {
  if ('status' in answer && answer.status >= 200 && answer.status < 300) return { kind: 'sent' }
  if ('status' in answer && answer.status === 410) return { kind: 'refused', reason: '410: the receiver wants nothing more of this task' }
  const reason = 'fault' in answer ? answer.fault : sayStatus(answer.status)
  // Of what is too old already when its turn comes, a second try is the last.
  if (trial.ageMs > trial.giveUpMs && trial.isRetry) return { kind: 'refused', reason: `given up after ${Math.round(trial.ageMs / 1_000)} s; the last try: ${reason}` }
  const asked = 'status' in answer ? waitAsked(answer.retryAfter, trial.now) : undefined
  // At least as long as asked; where nothing is, half as long as it was tried so far.
  return { kind: 'again', reason, afterMs: asked ?? Math.min(Math.max(trial.triedMs / 2, LEAST_WAIT_MS), MOST_WAIT_MS) * (1 - trial.random / 4) }
}

function sayStatus(status: number): string {
  return status >= 300 && status < 400 ? `the receiver answered ${status}; redirects are not followed` : `the receiver answered ${status}`
}

/** `Retry-After`, in seconds or as a date. */
function waitAsked(retryAfter: string | undefined, now: number): number | undefined {
  if (retryAfter === undefined) return undefined
  const ms = /^\d{1,9}$/.test(retryAfter) ? Number(retryAfter) * 1_000 : Date.parse(retryAfter) - now
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(ms, LEAST_WAIT_MS), MOST_RETRY_AFTER_MS)
}
