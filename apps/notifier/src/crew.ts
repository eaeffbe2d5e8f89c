import type { Log } from '@longshore/contracts'
import { type LaneDeps, takeTurn } from './lane.ts'
import type { HeldLane, Lanes } from './outbox/lanes.ts'
import { LEASE_MS } from './outbox/lease.ts'

export interface CrewDeps extends LaneDeps {
  lanes: Lanes
  log: Log
  /** Resolves after `ms`, when something was drafted, or when the signal aborts. */
  wait: (ms: number, signal: AbortSignal) => Promise<void>
  held: Set<HeldLane>
}

const DEFAULT_AT_ONCE = 64
/** After a defect. */
const REST_MS = 15_000
/** Also without a ring we look: pub/sub is a hint (G5), and a dead notifier's lanes come free without one. */
const IDLE_MS = 500

/**
 * Works in several lanes at a time, each for one turn after the other, as long as there is something to send, until `signal` aborts.
 * @throws what Redis threw: the caller begins again
 */
export async function runCrew(deps: CrewDeps, signal: AbortSignal): Promise<void> {
  const turns = new Set<Promise<void>>()
  const broken = new AbortController()
  let ring: Promise<void> | undefined
  const woken = (ms: number) => (ring ??= deps.wait(ms, signal).finally(() => { ring = undefined }))
  try {
    while (!signal.aborted && !broken.signal.aborted) {
      const found = turns.size < (deps.sink.lanesAtOnce ?? DEFAULT_AT_ONCE) ? await deps.lanes.take() : { waitMs: undefined }
      if (!('lane' in found)) {
        await Promise.race([woken(Math.min(found.waitMs ?? IDLE_MS, IDLE_MS)), ...turns])
        continue
      }
      const turn = oneTurn(found.lane, deps, signal).catch((error: unknown) => broken.abort(error)).finally(() => turns.delete(turn))
      turns.add(turn)
    }
  } finally {
    await Promise.all(turns)
  }
  broken.signal.throwIfAborted()
}

async function oneTurn(lane: HeldLane, deps: CrewDeps, signal: AbortSignal): Promise<void> {
  deps.held.add(lane)
  try {
    await takeTurn(lane, deps, signal)
  } catch (error) {
    // It ran out while we waited for an answer: its new holder sends the same under the same id.
    if (String(error).includes('LEASELOST')) return deps.log.warn({ lane: lane.name }, 'a lane went to another notifier')
    // What this build cannot read, or Redis: the other lanes go on in any case.
    deps.log.error({ lane: lane.name, reason: String(error) }, 'a lane rests for a while')
    await lane.leave(REST_MS)
  } finally {
    deps.held.delete(lane)
  }
}

/** Keeps the lanes in hand for as long as this one lives. */
export async function keepLanes(lanes: Lanes, held: ReadonlySet<HeldLane>, pause: (ms: number) => Promise<void>, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await lanes.renew([...held])
    await pause(LEASE_MS / 4)
  }
}
