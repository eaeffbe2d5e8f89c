import { setTimeout as sleep } from 'node:timers/promises'
import type { Redis } from 'ioredis'

import type { Clock, Log } from '@longshore/contracts'
import { type Doorbell, keysOf } from '@longshore/ledger'
import { type FollowDeps, followFleet } from './follow-fleet.ts'
import { type LaneDeps, runLane } from './lane.ts'
import { acquireLease, LEASE_MS, letGoOfLease, renewLease } from './outbox/lease.ts'
import { createOutbox } from './outbox/outbox.ts'
import type { Sink } from './sink.ts'
import { createWakeUp } from './wake-up.ts'

export interface NotifierDeps {
  /** A `background` connection. */
  redis: Redis
  deployment: string
  ledger: FollowDeps['ledger']
  doorbell: Doorbell
  sink: Sink
  log: Log
  now: Clock
  random: () => number
  onOutcome: LaneDeps['onOutcome']
}

export interface Notifier {
  /** Whether this one works for the sink, or another does. */
  state(): 'active' | 'standby'
  /** Ends both loops after the step they are in, and lets the next notifier take over at once. */
  stop(): Promise<void>
}

/** Where a sink keeps its outbox. */
export function sinkPrefix(deployment: string, sink: string): string {
  return `${keysOf(deployment).prefix}notify:${sink}:`
}

/** A step that takes longer is cut; it is repeated by the next notifier. */
const STOP_MS = 3_000
/** A standby looks this often whether it is its turn. */
const STANDBY_MS = 500

/** Works for one sink whenever no other notifier does; survives Redis and the sink being away. */
export function startNotifier(deps: NotifierDeps): Notifier {
  const stopping = new AbortController()
  const prefix = sinkPrefix(deps.deployment, deps.sink.name)
  let state: 'active' | 'standby' = 'standby'
  const loop = async () => {
    while (!stopping.signal.aborted) {
      try {
        const fence = await acquireLease(deps.redis, prefix)
        if (fence === undefined) {
          await pause(STANDBY_MS, stopping.signal)
          continue
        }
        state = 'active'
        deps.log.info({ sink: deps.sink.name, fence }, 'this notifier is active')
        await serve(deps, prefix, fence, stopping.signal)
      } catch (error) {
        deps.log.warn({ sink: deps.sink.name, reason: String(error) }, 'the notifier begins again where it stood')
        await pause(STANDBY_MS, stopping.signal)
      }
      state = 'standby'
    }
  }
  const done = loop()
  return {
    state: () => state,
    stop: async () => {
      stopping.abort()
      // A step waits for Redis as long as it is away; whoever stops does not.
      await Promise.race([done, sleep(STOP_MS, undefined, { ref: false })])
    },
  }
}

/** Both loops while the lease holds. @throws what ended them, unless it was `signal` */
async function serve(deps: NotifierDeps, prefix: string, fence: number, signal: AbortSignal): Promise<void> {
  const ending = new AbortController()
  const both = AbortSignal.any([signal, ending.signal])
  const outbox = createOutbox(deps.redis, prefix, fence)
  const bell = await deps.doorbell.listen('fleet')
  const wakeUp = createWakeUp()
  const loops = [
    keepLease(deps.redis, prefix, fence, both),
    followFleet({ ...deps, outbox, bell, drafted: wakeUp.ring }, both),
    runLane({ ...deps, outbox, wait: (ms, isWokenByDrafts) => (isWokenByDrafts ? wakeUp.wait(ms, both) : pause(ms, both)) }, both),
  ]
  try {
    await Promise.race(loops)
  } finally {
    ending.abort()
    await Promise.allSettled([...loops, bell.close()])
    if (signal.aborted) await letGoOfLease(deps.redis, prefix, fence)
  }
}

async function keepLease(redis: Redis, prefix: string, fence: number, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    if (!(await renewLease(redis, prefix, fence))) throw new Error('the lease went to another notifier')
    await pause(LEASE_MS / 4, signal)
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => undefined)
}
