/** Wakes one waiter; a kick while nobody waits is kept for the next wait. */
export interface Kick {
  kick(): void
  /** Resolves at a kick, after `ms`, or when the signal aborts. */
  wait(ms: number, signal: AbortSignal): Promise<void>
}

export function createKick(): Kick {
  let isPending = false
  let wake: (() => void) | undefined
  return {
    kick: () => {
      isPending = true
      wake?.()
    },
    wait: (ms, signal) =>
      new Promise((resolve) => {
        const done = (): void => {
          clearTimeout(timer)
          signal.removeEventListener('abort', done)
          wake = undefined
          isPending = false
          resolve()
        }
        const timer = setTimeout(done, ms)
        wake = done
        signal.addEventListener('abort', done)
        if (isPending || signal.aborted) done()
      }),
  }
}
