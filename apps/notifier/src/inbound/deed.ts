import type { InputId, Task } from '@longshore/contracts'
import type { Ledger } from '@longshore/ledger'
import type { Heartbeat } from '@longshore/queue'
import type { RolloutPolicy } from '@longshore/rollout'
import type { Line } from '../render/lines.ts'

/** What deeds stand on. */
export interface Ground {
  ledger: Pick<Ledger, 'get' | 'cancel' | 'pause' | 'resume' | 'post' | 'inputs' | 'answer' | 'wished'>
  /** Workers that are alive. */
  workers(): Promise<readonly Heartbeat[]>
  rollout: { get(): Promise<RolloutPolicy>; set(percent: number, by: string, wish: string): Promise<RolloutPolicy> }
}

/** Something that somebody who may wants done. */
export interface Wish {
  /** Made of the event: the same deed, however often it is asked for (see the ledger). */
  id: string
  by: string
  words: string
}

export interface TaskWish extends Wish {
  task: Task
  /** The question that was answered or reacted to. */
  inputId: InputId | undefined
}

/** It is not done, and the sender is told why, and what is allowed. */
export class Refusal extends Error {
  override readonly name = 'Refusal'
}

export type Answer = readonly Line[]
