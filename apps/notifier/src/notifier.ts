import { setTimeout as sleep } from 'node:timers/promises'
import type { Redis } from 'ioredis'

import type { Clock, Log } from '@longshore/contracts'
import type { Bell, Doorbell } from '@longshore/ledger'
import { noteSink, outboxPrefix } from '@longshore/outbox'
import { keepLanes, runCrew } from './crew.ts'
import { type FollowDeps, followFleet } from './follow-fleet.ts'
import type { LaneDeps } from './lane.ts'
import { createLanes, type HeldLane } from './outbox/lanes.ts'
import { acquireLease, LEASE_MS, letGoOfLease, renewLease } from './outbox/lease.ts'
import { createOutbox } from './outbox/outbox.ts'
import type { Sink } from './sink.ts'
import { createTroubleLog } from './trouble-log.ts'

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
  /** Whether this one drafts what is told, and in how many lanes it is sending. */
  state(): { follows: boolean; lanes: number }
  /** Ends its loops after the step they are in, and lets others take over at once. */
  stop(): Promise<void>
}

/** A step that takes longer is cut; it is repeated by another notifier. */
const STOP_MS = 3_000
/** Who does not follow looks this often whether it is its turn. */
const STANDBY_MS = 500
/** The lease on following the events. */
const FOLLOW = 'follow'

/**
 * One of any number that work for a sink: one of them follows the events and drafts, by a lease; all of them send, each lane in the hands of one at a time.
 * Survives Redis and the sink being away.
 */
export function startNotifier(deps: NotifierDeps): Notifier {
  const stopping = new AbortController()
  const { signal } = stopping
  const state = { follows: false, held: new Set<HeldLane>() }
  const again = (what: string, run: () => Promise<void>) => repeat(what, run, deps, signal)
  const done = Promise.all([
    again('following', () => follow(deps, signal, (follows) => { state.follows = follows })),
    again('sending', () => send(deps, state.held, signal)),
  ])
  return {
    state: () => ({ follows: state.follows, lanes: state.held.size }),
    stop: async () => {
      stopping.abort()
      // A step waits for Redis as long as it is away; whoever stops does not.
      await Promise.race([done, sleep(STOP_MS, undefined, { ref: false })])
    },
  }
}

async function repeat(what: string, run: () => Promise<void>, { sink, log }: NotifierDeps, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      await run()
    } catch (error) {
      log.warn({ sink: sink.name, reason: String(error) }, `${what}: begins again where it stood`)
      await pause(STANDBY_MS, signal)
    }
  }
}

/** Follows the events while the lease holds; returns at once where another has it. @throws what ended it */
async function follow(deps: NotifierDeps, signal: AbortSignal, tell: (follows: boolean) => void): Promise<void> {
  const prefix = outboxPrefix(deps.deployment, deps.sink.name)
  const fence = await acquireLease(deps.redis, prefix, FOLLOW)
  if (fence === undefined) return pause(STANDBY_MS, signal)
  tell(true)
  deps.log.info({ sink: deps.sink.name, fence }, 'this notifier follows the events')
  await withBell(deps, 'fleet', signal, (bell, ending) => [
    keepLease(deps.redis, prefix, fence, ending),
    followFleet({ ...deps, outbox: createOutbox({ ...deps, sink: deps.sink.name }), fence, bell }, ending),
  ]).finally(() => tell(false))
  if (signal.aborted) await letGoOfLease(deps.redis, prefix, FOLLOW, fence)
}

async function send(deps: NotifierDeps, held: Set<HeldLane>, signal: AbortSignal): Promise<void> {
  const { sink, redis, deployment, log } = deps
  await noteSink(redis, deployment, sink.name)
  const lanes = createLanes({ redis, deployment, sink: sink.name }, (lane) => sink.accountOf?.(lane) ?? lane)
  await withBell(deps, `notices:${sink.name}`, signal, (bell, ending) => [
    keepLanes(lanes, held, (ms) => pause(ms, ending), ending),
    runCrew({ ...deps, lanes, held, onTrouble: createTroubleLog(log, sink.name), wait: (ms, until) => bell.next(ms, until) }, ending),
  ])
}

/** Runs loops until one of them ends, or `signal` aborts; then all. @throws what ended the first */
async function withBell({ doorbell }: NotifierDeps, topic: string, signal: AbortSignal, start: (bell: Bell, signal: AbortSignal) => Promise<void>[]): Promise<void> {
  const ending = new AbortController()
  const bell = await doorbell.listen(topic)
  const loops = start(bell, AbortSignal.any([signal, ending.signal]))
  try {
    await Promise.race(loops)
  } finally {
    ending.abort()
    await Promise.allSettled([...loops, bell.close()])
  }
}

async function keepLease(redis: Redis, prefix: string, fence: number, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    if (!(await renewLease(redis, prefix, FOLLOW, fence))) throw new Error('the lease went to another notifier')
    await pause(LEASE_MS / 4, signal)
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => undefined)
}
