import type { ExecutionEvent } from '@longshore/contracts'
import type { Claim, Ledger } from '@longshore/ledger'

/** Appends what an execution says, in order. */
export interface EventMirror {
  emit(events: readonly ExecutionEvent[], position?: string): Promise<void>
  /** Resolves when everything emitted so far is in the log or refused. */
  settled(): Promise<void>
}

interface Batch { events: readonly ExecutionEvent[]; position: string | undefined; done: PromiseWithResolvers<void> }

/**
 * One append is under way at a time; what is emitted meanwhile goes together in the next one, with the newest position:
 * a talkative agent costs Redis round trips, not one per word.
 */
export function mirrorEvents(ledger: Pick<Ledger, 'append'>, claim: Claim, onRefused: (error: unknown) => void): EventMirror {
  let waiting: Batch[] = []
  let writing: Promise<void> | undefined
  const write = async () => {
    while (waiting.length > 0) {
      const batches = waiting
      waiting = []
      try {
        await ledger.append(claim, batches.flatMap(({ events }) => events), batches.findLast(({ position }) => position !== undefined)?.position)
        for (const { done } of batches) done.resolve()
      } catch (error) {
        onRefused(error)
        for (const { done } of batches) done.reject(error)
      }
    }
    writing = undefined
  }
  return {
    emit: (events, position) => {
      const done = Promise.withResolvers<void>()
      done.promise.catch(() => undefined) // a backend may not wait for each one; `onRefused` has heard of it
      waiting.push({ events, position, done })
      writing ??= write()
      return done.promise
    },
    settled: async () => writing,
  }
}
