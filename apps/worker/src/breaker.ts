import type { Failure } from '@longshore/contracts'

/** When a mode of a worker stops taking tasks because its place fails them, and how it comes back. Times in ms of one clock. */
export interface BreakerSettings {
  /** Failures of the place in a row that open it. */
  failures: number
  /** How long it is open the first time. */
  openMs: number
}

/** How the place did. `begun`: an execution runs there; `done`: a run ended there, whatever its own fate. */
export type PlaceNews = { kind: 'begun' } | { kind: 'done' } | { kind: 'failed'; failure: Failure }

/** `openMs`: how long it is open the next time. `last`: the failure that counted last. */
export type BreakerState =
  | { kind: 'closed'; failures: number; openMs: number; last?: Failure }
  | { kind: 'open'; failures: number; openMs: number; last: Failure; until: number }

/** An engine that is away for hours is tried as often as this, times `openMs`. */
const LONGEST = 10

export function closedBreaker({ openMs }: BreakerSettings): BreakerState {
  return { kind: 'closed', failures: 0, openMs }
}

/** What tickets a mode may take: `one` after another, once the breaker has been open for its time (half-open). */
export function admits(state: BreakerState, now: number): boolean | 'one' {
  if (state.kind === 'closed') return true
  return now >= state.until ? 'one' : false
}

/**
 * The state after the news. A start that worked closes an open breaker, but the next failure opens it again, for longer: an
 * engine that loses what it starts must not come through by starting. Only a run to its end makes everything forgotten.
 */
export function afterNews(state: BreakerState, news: PlaceNews, now: number, settings: BreakerSettings): BreakerState {
  switch (news.kind) {
    case 'done':
      // What was running before the breaker opened says nothing about new tasks.
      return admits(state, now) === false ? state : closedBreaker(settings)
    case 'begun':
      return admits(state, now) === 'one' ? { ...state, kind: 'closed', failures: settings.failures - 1 } : state
    case 'failed':
      return afterFailure(state, news.failure, now, settings)
  }
}

function afterFailure(state: BreakerState, failure: Failure, now: number, settings: BreakerSettings): BreakerState {
  // Tasks that ran when it opened fail one after the other: that is one outage, not several.
  if (admits(state, now) === false) return { ...state, last: failure }
  const failures = state.failures + 1
  if (state.kind === 'closed' && failures < settings.failures) return { ...state, failures, last: failure }
  return { kind: 'open', failures, last: failure, until: now + state.openMs, openMs: Math.min(state.openMs * 2, settings.openMs * LONGEST) }
}

/** For people, in health and heartbeat; undefined while it is closed. */
export function breakerReason(state: BreakerState, now: number): string | undefined {
  if (state.kind === 'closed') return undefined
  const waitMs = state.until - now
  const next = waitMs > 0 ? `tries one task in ${Math.ceil(waitMs / 1_000)} s` : 'tries one task now'
  return `the breaker is open after ${state.failures} failures of its place in a row (last: ${state.last.code}: ${state.last.message.slice(0, 200)}); ${next}`
}
