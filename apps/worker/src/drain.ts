import { setTimeout as sleep } from 'node:timers/promises'

import type { Log } from '@longshore/contracts'
import type { TicketConsumer } from '@longshore/queue'

import { within } from './within.ts'

/**
 * G12: a worker that drains takes nothing, lets its tasks go on for a while, then gives back what still runs. For good
 * when it was told to stop, or until the wish is withdrawn when somebody asked for it by command.
 */
export interface Drain {
  isDraining(): boolean
  /** Aborts when running tasks are to go back into the queue; another one after a drain was undone. */
  handover(): AbortSignal
  /** Monotonic ms since when the other workers can know that this one drains. */
  announcedAt(): number
  /** By command. May be said again and again. */
  want(isWanted: boolean): void
  /** For good. Resolves when nothing runs any more, or when that took too long: then the locks run out, and another takes over. */
  finish(): Promise<void>
}

export interface DrainOptions {
  consumer: Pick<TicketConsumer, 'running' | 'idle'>
  /** It begins, or was undone: what the modes may take has changed. */
  onChange: () => void
  /** Tells the other workers, as `isDraining` says now. */
  announce: () => Promise<unknown>
  graceMs: number
  log: Log
}

/** A Redis that does not take our word in this time takes no task back either. */
const ANNOUNCE_MS = 3_000
/** A checkpoint (see close-run.ts) and some. */
const HANDOVER_MS = 45_000
const WITHOUT_REDIS_MS = 5_000

export function createDrain(options: DrainOptions): Drain {
  const { onChange, announce, log } = options
  let handover = new AbortController()
  let announcedAt = Infinity
  let current: { undo: AbortController; over: Promise<void> } | undefined
  let isFinal = false

  const carryOut = async (undo: AbortSignal) => {
    onChange()
    // Before anybody looks for a successor: two workers that end at once must see each other drain.
    const isKnown = await within(ANNOUNCE_MS, announce(), 'telling the other workers').then(() => true, (error: unknown) => {
      log.warn({ err: error }, 'Redis does not take our word: what runs is left to other workers')
      return false
    })
    announcedAt = performance.now()
    await graceOver(options, undo)
    if (undo.aborted) return
    handover.abort()
    await within(isKnown ? HANDOVER_MS : WITHOUT_REDIS_MS, idle(options), 'handing over')
      .catch((error: unknown) => log.error({ err: error }, 'not everything was handed over; another worker takes over'))
  }
  const begin = () => {
    if (current !== undefined) return current.over
    const undo = new AbortController()
    current = { undo, over: Promise.resolve() }
    current.over = carryOut(undo.signal)
    return current.over
  }
  const undo = () => {
    current?.undo.abort()
    current = undefined
    // What runs since before the wish listens to the one that it began with.
    if (handover.signal.aborted) handover = new AbortController()
    announcedAt = Infinity
    log.info({}, 'takes tasks again')
    onChange()
    announce().catch(() => undefined) // the next heartbeat says it, too
  }
  return {
    isDraining: () => current !== undefined,
    handover: () => handover.signal,
    announcedAt: () => announcedAt,
    want: (isWanted) => {
      if (isWanted && current === undefined) void begin()
      else if (!isWanted && current !== undefined && !isFinal) undo()
    },
    finish: () => {
      isFinal = true
      return begin()
    },
  }
}

async function graceOver({ consumer, graceMs, log }: DrainOptions, undo: AbortSignal): Promise<void> {
  log.info({ running: consumer.running(), grace_ms: graceMs }, 'draining: no new tasks; what runs has the grace period to end')
  const over = new AbortController()
  await Promise.race([idle({ consumer }), sleep(graceMs, undefined, { signal: AbortSignal.any([undo, over.signal]) }).catch(() => undefined)])
  over.abort()
}

async function idle({ consumer }: Pick<DrainOptions, 'consumer'>): Promise<void> {
  while (consumer.running() > 0) await consumer.idle()
}
