import type { Failure } from '@longshore/contracts'
import type { Message } from './message.ts'
import type { StreamEvent } from './stream.ts'

/** How long an agent may show no sign of life; durations in ms. */
export interface StallLimits {
  /** While the model has the turn. */
  stallMs: number
  /** While a tool runs: a shell command is silent until it ends. */
  stallToolMs: number
}

/** What is a sign of life: something of the task's sessions, sub-agents' too; the stream is bound to the task's directory. Not the server's own heartbeat, not a file that a forgotten process writes. */
const OF_A_SESSION = /^(session|message|permission|question|todo)\./

/** Notices that a session, busy as it may be, no longer moves. */
export interface StallWatch {
  hear(event: StreamEvent): void
  /** A stream that is silent shows nothing: what is read counts as well. */
  see(messages: readonly Message[]): void
  /** Whether the agent waits for an answer: then it is silent, and nothing is wrong. */
  waits(isWaiting: boolean): void
  /** undefined while there was a sign of life within the limit. */
  failure(): Failure | undefined
}

/** @param now a clock that only goes forward, in ms */
export function createStallWatch({ stallMs, stallToolMs }: StallLimits, now: () => number): StallWatch {
  let last = { what: 'the beginning of this watch', at: now() }
  let seen = ''
  let [isToolRunning, isWaiting] = [false, false]
  const sign = (what: string): void => {
    last = { what, at: now() }
  }
  return {
    hear: ({ type }) => {
      if (OF_A_SESSION.test(type)) sign(type)
    },
    see: (messages) => {
      const newest = messages.findLast(({ info }) => info.role === 'assistant')
      isToolRunning = newest?.parts.some((part) => part.type === 'tool' && part.state.status === 'running') ?? false
      const shown = newest === undefined ? '' : printOf(newest)
      if (shown !== seen) sign('a change of the newest message')
      seen = shown
    },
    waits: (waiting) => {
      if (isWaiting !== waiting) sign('what it asked')
      isWaiting = waiting
    },
    failure: () => {
      if (isWaiting) return undefined
      const silentMs = now() - last.at
      const [limitMs, name] = isToolRunning ? [stallToolMs, 'STALL_TOOL_MS, a tool runs'] : [stallMs, 'STALL_MS, no tool runs']
      if (silentMs < limitMs) return undefined
      return { code: 'stalled', message: `the agent showed no sign of life for ${limitMs / 1000} s (${name}); the last one, ${last.what}, was ${Math.round(silentMs / 1000)} s ago` }
    },
  }
}

/** Differs when anything of a message did that can change without an event being heard. */
function printOf({ info, parts }: Message): string {
  const last = parts.at(-1)
  const state = last?.type === 'tool' ? last.state.status : last?.type === 'text' ? last.text.length : ''
  return [info.id, info.time.completed, parts.length, last?.id, state].join()
}
