import type { ExecutionEvent } from '@longshore/contracts'
import type { Claim, Ledger } from '@longshore/ledger'

import type { OutputRecorder } from './output-recorder.ts'
import { createLogShape, type ShapeLog } from './shape-log.ts'

/** Appends what an execution says, in order. */
export interface EventMirror {
  emit(events: readonly ExecutionEvent[], position?: string): Promise<void>
  /** Resolves when everything emitted so far is in the log or refused; what is held back is not waited for. */
  settled(): Promise<void>
  /** Holds back what is emitted from now on: the event that says how the execution was taken up goes first. */
  hold(): void
  /** Lets what was held back into the log. */
  release(): void
  /** Refuses what is still held back: nobody goes on with it here, and whoever does gets it from its source again. */
  drop(): void
  /** Frees what it holds, once everything is in the log or refused. */
  close(): Promise<void>
}

interface Batch { events: readonly ExecutionEvent[]; position: string | undefined; done: PromiseWithResolvers<void> }

/** Events of one append: what waits for a Redis that is away may be more than one command can hold. */
const MAX_EVENTS = 500

// One for all: an error with a stack of its own per run would cost more than the rest of letting go.
const DROPPED = new Error('the worker let go of the execution before it was taken up')

/**
 * One append is under way at a time; what is emitted meanwhile goes together in the next one, with the newest position:
 * a talkative agent costs Redis round trips, not one per word. After one that was refused all others are.
 */
export function mirrorEvents(ledger: Pick<Ledger, 'append'>, claim: Claim, onRefused: (error: unknown) => void, recorder?: OutputRecorder, shape: ShapeLog = createLogShape(() => performance.now())): EventMirror {
  const waiting: Batch[] = []
  let writing: Promise<void> | undefined
  let refusal: { error: unknown } | undefined
  const gate = { isHeld: false }
  const write = async () => {
    while (waiting.length > 0 && !gate.isHeld) {
      const batches = nextOf(waiting)
      try {
        // What follows a gap would carry a position behind it: whoever goes on from there could not know what is missing.
        if (refusal !== undefined) throw refusal.error
        const events = batches.flatMap((batch) => batch.events)
        // First the words, then the word that they are there.
        const output = await recorder?.record(events)
        await ledger.append(claim, recorder === undefined ? events : shape(events), batches.findLast(({ position }) => position !== undefined)?.position, output)
        for (const { done } of batches) done.resolve()
      } catch (error) {
        if (refusal === undefined) onRefused(error)
        refusal ??= { error }
        for (const { done } of batches) done.reject(error)
      }
    }
    writing = undefined
  }
  const go = () => {
    // Not in this very step: a round without a wait would be over before it is noted as under way.
    if (!gate.isHeld && waiting.length > 0) writing ??= Promise.resolve().then(write)
  }
  const release = () => {
    gate.isHeld = false
    go()
  }
  return {
    emit: (events, position) => {
      const done = Promise.withResolvers<void>()
      done.promise.catch(() => undefined) // a backend may not wait for each one; `onRefused` has heard of it
      waiting.push({ events, position, done })
      go()
      return done.promise
    },
    settled: async () => writing,
    close: async () => {
      await writing
      await recorder?.close()
    },
    hold: () => {
      gate.isHeld = true
    },
    release,
    drop: () => {
      if (!gate.isHeld) return
      refusal ??= { error: DROPPED }
      release()
    },
  }
}

/** Takes what goes into the next append: whole batches, because a position belongs to the events that it came with. */
function nextOf(waiting: Batch[]): Batch[] {
  let events = 0
  const end = waiting.findIndex((batch) => (events += batch.events.length) > MAX_EVENTS)
  return waiting.splice(0, end === -1 ? waiting.length : Math.max(end, 1))
}
