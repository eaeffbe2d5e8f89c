import type { Failure } from '@longshore/contracts'
import type { Piece } from '../command/demultiplex.ts'

/** The stdio of an agent that outlives who talks to it (relay-script.ts), as its place reaches it. */
export interface AgentPipe {
  /** Names this execution: lines are counted per pipe. */
  readonly id: string
  /** What it put out, from the beginning, and on while it runs. Ends, and does not throw, when the connection breaks. */
  output(signal: AbortSignal): AsyncIterable<Piece[]>
  /** Opens its stdin. @throws TaskFailure when the place does not answer */
  input(): Promise<AgentInput>
  /** Why it no longer runs; undefined while it does, or when nobody can tell. */
  ending(): Promise<AgentEnding | undefined>
}

export interface AgentInput {
  write(text: string): void
  /** Resolves when what is written arrives nowhere any more. */
  readonly broken: Promise<void>
  close(): void
}

/** `isAgents`: the agent ended by itself, and may have said why. */
export interface AgentEnding { failure: Failure; isAgents: boolean }
