import type { Log } from '@longshore/contracts'

/** Asks Redis to extend these locks. @returns the ids that are no longer ours */
export type ExtendLocks = (ids: string[], tokens: string[]) => Promise<string[]>

/** Why a worker let go of a ticket without finishing it: the reason of the aborted signal. */
export class TicketLost extends Error {
  override readonly name = 'TicketLost'
}

export interface TicketLocks {
  /** Renews until `drop`; `ageMs`: how long ago Redis gave the lock. The signal aborts when the lock may be another's. */
  hold(id: string, token: string, ageMs: number): AbortSignal
  drop(id: string): void
  stop(): void
}

/** Renewals per lock duration: one may be lost without harm. */
const RENEWALS = 4
/** Let go at 3.5 s of a 5 s lock (G7): before Redis can give it to another worker, whatever the network does. */
const MARGIN = 0.7
/** Looks at the clock per lock duration. */
const LOOKS = 20

/**
 * Keeps the locks of the tickets in work alive, and lets go of one that could not be renewed in time: by the monotonic
 * clock, because a cut-off or suspended process gets no answer that would tell it.
 */
export function keepLocks(options: { lockMs: number; extend: ExtendLocks; log: Log }): TicketLocks {
  const { lockMs, extend, log } = options
  const held = new Map<string, { token: string; renewedAt: number; control: AbortController }>()
  let isRenewing = false

  const lose = (id: string, reason: string) => {
    const lock = held.get(id)
    if (lock === undefined) return
    held.delete(id)
    log.warn({ ticket: id, reason }, 'let go of a ticket')
    lock.control.abort(new TicketLost(reason))
  }
  const renew = async () => {
    if (isRenewing || held.size === 0) return
    isRenewing = true
    const sentAt = performance.now()
    const ids = [...held.keys()]
    try {
      const gone = await extend(ids, ids.map((id) => held.get(id)?.token ?? ''))
      for (const id of gone) lose(id, 'its lock is no longer ours')
      for (const id of ids) {
        const lock = held.get(id)
        if (lock !== undefined) lock.renewedAt = Math.max(lock.renewedAt, sentAt)
      }
    } catch (error) {
      log.warn({ err: error }, 'locks could not be renewed')
    } finally {
      isRenewing = false
    }
  }
  const look = () => {
    const oldest = performance.now() - lockMs * MARGIN
    for (const [id, { renewedAt }] of held) if (renewedAt < oldest) lose(id, `no renewal for ${Math.round(lockMs * MARGIN)} ms`)
  }
  const timers = [setInterval(() => void renew(), lockMs / RENEWALS), setInterval(look, lockMs / LOOKS)]
  return {
    hold: (id, token, ageMs) => {
      const control = new AbortController()
      held.set(id, { token, renewedAt: performance.now() - Math.max(0, ageMs), control })
      return control.signal
    },
    drop: (id) => void held.delete(id),
    stop: () => {
      for (const timer of timers) clearInterval(timer)
    },
  }
}
