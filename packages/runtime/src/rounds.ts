import type { Log } from '@longshore/contracts'

export interface Rounds {
  /** The next round begins now (or right after the current one). */
  wake(): void
  /** Resolves when the current round is over. */
  stop(): Promise<void>
}

/**
 * Does something again and again, `everyMs` (asked after each round) after the end of the round before, the first time at once. A round that
 * throws is logged once per streak of failures and tried again: Redis coming back must not need us to be restarted.
 */
export function keepRounds(options: { everyMs: number | (() => number); round: (signal: AbortSignal) => Promise<unknown>; log: Log; failing: string }): Rounds {
  const { everyMs, round, log, failing } = options
  const stopping = new AbortController()
  let alarm = Promise.withResolvers<void>()
  let isFailing = false
  const tryRound = async () => {
    try {
      await round(stopping.signal)
      isFailing = false
    } catch (error) {
      if (!isFailing && !stopping.signal.aborted) log.warn({ err: error }, `${failing}; trying again`)
      isFailing = true
    }
  }
  const loop = async () => {
    while (!stopping.signal.aborted) {
      await tryRound()
      const timer = setTimeout(() => alarm.resolve(), typeof everyMs === 'number' ? everyMs : everyMs())
      await alarm.promise
      clearTimeout(timer)
      alarm = Promise.withResolvers()
    }
  }
  const running = loop()
  return {
    wake: () => alarm.resolve(),
    stop: async () => {
      stopping.abort()
      alarm.resolve()
      await running
    },
  }
}
