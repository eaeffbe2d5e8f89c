import { setTimeout as sleep } from 'node:timers/promises'
import type { Redis } from 'ioredis'

import type { Check } from '@longshore/runtime'
import { MatrixError, troubleOf } from '../matrix/matrix-error.ts'
import { acquireLease, LEASE_MS, letGoOfLease, renewLease } from '../outbox/lease.ts'
import { backoffMs } from '../pace.ts'
import { createInbox, inboxPrefix } from './inbox.ts'
import { listen, type ListenDeps } from './listen.ts'

export interface InboundDeps extends Omit<ListenDeps, 'inbox' | 'onHeard' | 'client'> {
  /** A `background` connection. */
  redis: Redis
  deployment: string
  /** @param signal cuts its calls */
  connect(signal: AbortSignal): ListenDeps['client']
  random: () => number
}

export interface Inbound {
  state(): 'active' | 'standby'
  /** For `/ready`: whether the homeserver lets us listen. */
  check(): Check
  stop(): Promise<void>
}

const LEASE = 'listen'
const STANDBY_MS = 500
/** A step that takes longer is cut, and repeated by the next one. */
const STOP_MS = 3_000

/** Listens to Matrix whenever no other notifier does; survives Redis and the homeserver being away. */
export function startInbound(deps: InboundDeps): Inbound {
  const stopping = new AbortController()
  const prefix = inboxPrefix(deps.deployment)
  let state: 'active' | 'standby' = 'standby'
  let [trouble, faults] = ['', 0]
  const onHeard = () => {
    if (trouble !== '') deps.log.info({ alert: 'over' }, 'Matrix is heard again')
    ;[trouble, faults] = ['', 0]
  }
  const round = async () => {
    const fence = await acquireLease(deps.redis, prefix, LEASE)
    if (fence === undefined) return pause(STANDBY_MS, stopping.signal)
    state = 'active'
    deps.log.info({ fence }, 'this notifier listens to Matrix')
    await serve(deps, prefix, fence, stopping.signal, onHeard)
  }
  const fault = async (error: unknown) => {
    faults += 1
    const reason = error instanceof MatrixError ? sayTrouble(error) : String(error)
    if (reason !== trouble && !stopping.signal.aborted) deps.log.warn({ reason }, 'Matrix is not listened to; trying again')
    trouble = reason
    await pause(waitMs(error, faults, deps.random()), stopping.signal)
  }
  const loop = async () => {
    while (!stopping.signal.aborted) {
      await round().catch(fault)
      state = 'standby'
    }
  }
  const done = loop()
  return {
    state: () => state,
    check: () => ({ name: 'matrix-commands', ok: trouble === '', detail: trouble === '' ? 'hears what is said' : trouble }),
    stop: async () => {
      stopping.abort()
      await Promise.race([done, sleep(STOP_MS, undefined, { ref: false })])
    },
  }
}

/** While the lease holds. @throws what ended it, unless it was `signal` */
async function serve(deps: InboundDeps, prefix: string, fence: number, signal: AbortSignal, onHeard: () => void): Promise<void> {
  const ending = new AbortController()
  const both = AbortSignal.any([signal, ending.signal])
  const inbox = createInbox(deps.redis, deps.deployment, deps.botId, fence)
  const loops = [keepLease(deps.redis, prefix, fence, both), listen({ ...deps, inbox, client: deps.connect(both), onHeard }, both)]
  try {
    await Promise.race(loops)
  } catch (error) {
    if (!signal.aborted) throw error
  } finally {
    ending.abort()
    await Promise.allSettled(loops)
    await letGoOfLease(deps.redis, prefix, LEASE, fence)
  }
}

async function keepLease(redis: Redis, prefix: string, fence: number, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    if (!(await renewLease(redis, prefix, LEASE, fence))) throw new Error('another notifier listens to Matrix')
    await pause(LEASE_MS / 4, signal)
  }
}

function sayTrouble(error: MatrixError): string {
  const trouble = troubleOf(error)
  return 'reason' in trouble ? trouble.reason : error.message
}

function waitMs(error: unknown, faults: number, random: number): number {
  const trouble = error instanceof MatrixError ? troubleOf(error) : undefined
  return trouble?.kind === 'limited' ? trouble.afterMs : backoffMs(faults, random)
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => undefined)
}
