import type { Clock, Log } from '@longshore/contracts'
import type { Frozen } from './outbox/frozen.ts'
import type { Outbox } from './outbox/outbox.ts'
import { afterLimit, afterSent, backoffMs, editsWaitMs, FREE, type Pace } from './pace.ts'
import type { Outcome, Sink } from './sink.ts'

export interface LaneDeps {
  outbox: Pick<Outbox, 'next' | 'freeze' | 'release' | 'strike' | 'bury'>
  sink: Sink
  log: Log
  now: Clock
  /** From 0 to 1. */
  random: () => number
  /** Resolves after `ms`, when something was drafted, or when the signal aborts. */
  wait: (ms: number, isWokenByDrafts: boolean) => Promise<void>
  onOutcome: (outcome: Outcome, frozen: Frozen | undefined) => void
}

/** Also without a wake-up we look. */
const IDLE_MS = 2_000
/** A person has to act first; until then one try in this time shows whether they did. */
const BLOCKED_MS = 15_000

/**
 * Sends one notice after the other, until `signal` aborts. One is on its way at a time: order within a task is kept,
 * and whatever happens between two steps, the same body goes under the same id again (G8).
 * @throws what Redis threw, or that another has the lease: the caller begins again
 */
export async function runLane(deps: LaneDeps, signal: AbortSignal): Promise<void> {
  let pace = FREE
  let faults = 0
  let alert = ''
  while (!signal.aborted) {
    const { outcome, frozen } = await trySending(deps, pace)
    if (outcome.kind !== 'idle') deps.onOutcome(outcome, frozen)
    faults = outcome.kind === 'again' ? faults + 1 : 0
    alert = tell(deps.log, outcome, alert, faults)
    switch (outcome.kind) {
      case 'idle': await deps.wait(outcome.waitMs, true); break
      case 'sent': pace = afterSent(pace, deps.now()); break
      case 'limited':
        pace = afterLimit(pace, deps.now(), outcome.afterMs)
        await deps.wait(outcome.afterMs, false)
        break
      case 'again': await deps.wait(outcome.afterMs ?? backoffMs(faults, deps.random()), false); break
      case 'blocked': await deps.wait(BLOCKED_MS, false); break
      case 'refused': break
    }
  }
}

type Step = { outcome: Outcome | { kind: 'idle'; waitMs: number }; frozen: Frozen | undefined }

/** One round: what is next, frozen before it is sent, struck after it was acknowledged. */
async function trySending(deps: LaneDeps, pace: Pace): Promise<Step> {
  const { outbox, sink, now } = deps
  const waitMs = editsWaitMs(pace, now())
  const next = await outbox.next(waitMs === 0)
  if (next.kind === 'idle') {
    const dueMs = next.waitMs === undefined ? IDLE_MS : Math.max(next.waitMs, waitMs)
    return { outcome: { kind: 'idle', waitMs: Math.min(Math.max(dueMs, 1), IDLE_MS) }, frozen: undefined }
  }
  const opened = await sink.open()
  if (opened.kind !== 'sent') return { outcome: opened, frozen: undefined }
  const frozen = next.kind === 'sending' ? next.frozen : sink.freeze(next.notice, next.root)
  if (next.kind === 'candidate' && !(await outbox.freeze(next.stored, frozen))) return { outcome: { kind: 'idle', waitMs: 0 }, frozen: undefined }
  const outcome = await sink.send(frozen, next.kind === 'sending')
  if (outcome.kind === 'sent') await outbox.strike(outcome.receipt)
  if (outcome.kind === 'refused') await outbox.bury(outcome.reason)
  // Only a first try that was refused is certain not to be there.
  if (outcome.kind === 'limited' && next.kind === 'candidate') await outbox.release()
  return { outcome, frozen }
}

/** Says a trouble once, and its end. @returns what was said last */
function tell(log: Log, outcome: Step['outcome'], alert: string, faults: number): string {
  switch (outcome.kind) {
    case 'idle': case 'limited': return alert
    case 'sent':
      if (alert !== '') log.info({ alert: 'over' }, 'notices are taken again')
      return ''
    case 'refused':
      log.error({ reason: outcome.reason }, 'a notice was refused for good; it is in the dead letters')
      return alert
    case 'blocked':
      if (alert !== outcome.reason) log.error({ alert: 'blocked', reason: outcome.reason }, 'no notice can be sent until somebody mends this; they are kept')
      return outcome.reason
    case 'again':
      if (faults !== 3 || alert !== '') return alert
      log.warn({ alert: 'away', reason: outcome.reason }, 'the receiver of notices does not answer; they are kept and tried again')
      return outcome.reason
  }
}
