import type { Clock } from '@longshore/contracts'
import type { Frozen } from './outbox/frozen.ts'
import type { HeldLane } from './outbox/lanes.ts'
import { backoffMs } from './pace.ts'
import type { Outcome, Sink } from './sink.ts'

export interface LaneDeps {
  sink: Sink
  now: Clock
  /** From 0 to 1. */
  random: () => number
  onOutcome: (outcome: Outcome, lane: string, frozen: Frozen | undefined) => void
  onTrouble: TroubleLog
}

/** Says troubles once; by lane. */
export interface TroubleLog { note(lane: string, outcome: Outcome, faults: number): void }

/** A person has to act first; until then one try in this time shows whether they did. */
const BLOCKED_MS = 15_000
/** Then the lane goes back, and whoever is free takes it: so N notifiers share the lanes, whoever was there first. */
const TURN_MS = 2_000

/**
 * One turn in a lane: sends one letter after the other until nothing may go, something is wrong, or the turn is over. One is on its way at a time:
 * order within a task is kept, and whatever happens between two steps, the same body goes under the same id again (G8).
 * @throws what Redis threw, or that another has the lane
 */
export async function takeTurn(lane: HeldLane, deps: LaneDeps, signal: AbortSignal): Promise<void> {
  const until = deps.now() + TURN_MS
  let holdMs: number | undefined
  do {
    const { outcome, frozen } = await trySending(lane, deps)
    if (outcome === undefined) break
    deps.onOutcome(outcome, lane.name, frozen)
    holdMs = await holdOf(lane, outcome, deps)
  } while (holdMs === undefined && deps.now() < until && !signal.aborted)
  await lane.leave(holdMs ?? 0)
}

/** How long the lane is to rest after this; undefined: not at all. */
async function holdOf(lane: HeldLane, outcome: Outcome, { random, onTrouble }: LaneDeps): Promise<number | undefined> {
  const faults = outcome.kind === 'again' ? await lane.fault() : 0
  onTrouble.note(lane.name, outcome, faults)
  switch (outcome.kind) {
    case 'sent': case 'refused': case 'later': return undefined
    // The account's bucket knows when there is place again, for this lane as for the others.
    case 'limited': return 0
    case 'again': return outcome.afterMs ?? backoffMs(faults, random())
    case 'blocked': return BLOCKED_MS
  }
}

interface Step { outcome: Outcome | undefined; frozen: Frozen | undefined }
const IDLE: Step = { outcome: undefined, frozen: undefined }

/** One round: what is next, frozen before it is sent, struck after it was acknowledged. */
async function trySending(lane: HeldLane, { sink }: LaneDeps): Promise<Step> {
  const next = await lane.next()
  if (next.kind === 'idle') return IDLE
  const opened = await sink.open(lane.name, next.kind === 'sending' ? next.frozen.notice : next.letter)
  if (opened.kind !== 'sent') {
    if (opened.kind === 'limited') await lane.limit(opened.afterMs)
    return { outcome: opened, frozen: undefined }
  }
  const frozen = next.kind === 'sending' ? next.frozen : sink.freeze(next.letter, next.receipts)
  if (next.kind === 'candidate' && !(await lane.freeze(next.stored, frozen))) return IDLE
  const outcome = await sink.send(frozen, next.kind === 'sending')
  await settle(lane, frozen, outcome, next.kind === 'sending')
  return { outcome, frozen }
}

async function settle(lane: HeldLane, frozen: Frozen, outcome: Outcome, isRetry: boolean): Promise<void> {
  switch (outcome.kind) {
    case 'sent': return lane.strike(frozen, outcome.receipt)
    case 'refused': return lane.bury(outcome.reason)
    case 'later': return lane.release(outcome.afterMs)
    case 'limited':
      await lane.limit(outcome.afterMs)
      // Only a first try that was refused is certain not to be there.
      if (!isRetry) await lane.release()
      return
    case 'again': case 'blocked': return
  }
}
