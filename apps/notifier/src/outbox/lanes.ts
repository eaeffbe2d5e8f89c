import type { Redis } from 'ioredis'

import { outboxPrefix } from '@longshore/outbox'
import { Letter, letterId, receiptKey } from '../notice.ts'
import type { Receipts } from '../sink.ts'
import { Frozen } from './frozen.ts'
import { BURY, FAULT, FREEZE, LEAVE, LIMIT, NEXT, RELEASE, RENEW, STRIKE, TAKE } from './lane-scripts.ts'
import { LEASE_MS } from './lease.ts'
import type { OutboxOf } from './outbox.ts'

type Next =
  /** It may have been sent already. */
  | { kind: 'sending'; frozen: Frozen }
  /** `stored` names this very version of it. */
  | { kind: 'candidate'; letter: Letter; stored: string; receipts: Receipts }
  /** Nothing that may go now. */
  | { kind: 'idle' }

/** A lane that this notifier alone works in. Every change is one step; it throws when another has the lane (G8). */
export interface HeldLane {
  readonly name: string
  readonly fence: number
  next(): Promise<Next>
  /** False: a newer version has replaced it, or another lane took the receiver's last free place; ask `next` again. */
  freeze(stored: string, frozen: Frozen): Promise<boolean>
  /** Back into its line; with `afterMs`, not before that. */
  release(afterMs?: number): Promise<void>
  /** @param receipt of a first post: where its edits and thread belong */
  strike(frozen: Frozen, receipt: string | undefined): Promise<void>
  bury(reason: string): Promise<void>
  /** The receiver named a wait, for all lanes of its account. */
  limit(afterMs: number): Promise<void>
  /** @returns tries in a row that failed */
  fault(): Promise<number>
  /** @param holdMs not to be looked at for so long, by anybody */
  leave(holdMs: number): Promise<void>
}

export interface Lanes {
  /** One that is due and nobody's, else how long until one is (undefined: none waits). */
  take(): Promise<{ lane: HeldLane } | { waitMs: number | undefined }>
  /** @returns names of those that are another's now */
  renew(held: readonly HeldLane[]): Promise<string[]>
}

/** @param accountOf what the receiver's rate limit counts together */
export function createLanes({ redis, deployment, sink }: OutboxOf, accountOf: (lane: string) => string): Lanes {
  const prefix = outboxPrefix(deployment, sink)
  return {
    async take() {
      const [lane, n] = (await redis.eval(TAKE, 1, prefix, LEASE_MS)) as [string, number]
      if (lane === '') return { waitMs: n < 0 ? undefined : n }
      return { lane: heldLane(redis, prefix, lane, n, accountOf(lane)) }
    },
    async renew(held) {
      if (held.length === 0) return []
      return (await redis.eval(RENEW, 1, prefix, LEASE_MS, ...held.flatMap(({ name, fence }) => [name, fence]))) as string[]
    },
  }
}

function heldLane(redis: Redis, prefix: string, name: string, fence: number, account: string): HeldLane {
  const run = (script: string, ...args: readonly string[]) => redis.eval(script, 1, prefix, name, String(fence), account, ...args)
  return {
    name,
    fence,
    next: async () => nextOf(await run(NEXT)),
    freeze: async (stored, frozen) => (await run(FREEZE, letterId(frozen.notice), stored, JSON.stringify(frozen))) === 1,
    release: async (afterMs) => void (await run(RELEASE, ...(afterMs === undefined ? [] : [String(Math.ceil(afterMs))]))),
    strike: async ({ notice }, receipt) => void (await run(STRIKE, receipt ?? '', receiptKey(notice) ?? '')),
    bury: async (reason) => void (await run(BURY, reason)),
    limit: async (afterMs) => void (await run(LIMIT, String(Math.ceil(afterMs)))),
    fault: async () => Number(await run(FAULT)),
    leave: async (holdMs) => void (await run(LEAVE, String(Math.ceil(holdMs)))),
  }
}

function nextOf(answer: unknown): Next {
  const [kind, a, stored, root, posted] = answer as [string, string, string, string, string]
  if (kind === 'sending') return { kind, frozen: Frozen.parse(JSON.parse(a)) }
  if (kind !== 'candidate') return { kind: 'idle' }
  const receipt = (text: string) => (text === '' ? undefined : text)
  return { kind, letter: Letter.parse(JSON.parse(stored)), stored, receipts: { root: receipt(root), posted: receipt(posted) } }
}
