import { randomUUID } from 'node:crypto'

import { type Task, ticketId } from '@longshore/contracts'

import type { LedgerContext } from './create-ledger.ts'
import { endedOf } from './ending.ts'
import { newEventId } from './event-id.ts'
import type { Ledger } from './ledger.ts'
import { fieldsOf, taskFrom, ticketOf } from './record.ts'
import { CANCEL, FAIL_UNOWNED, IDENTITY, REISSUE, REROUTE, TIMEOUT_UNOWNED } from './unowned-scripts.ts'

/** An owner whose ledger answers ends its task within milliseconds of the deadline. */
const OWNER_GRACE_MS = 30_000

/** What controls, the dispatcher and the reconciler write; the state table and the ticket's number guard it. */
export function unownedWrites({ redis, keys, run }: LedgerContext): Pick<Ledger, 'cancel' | 'failUnowned' | 'timeoutUnowned' | 'ticketAdded' | 'reissue' | 'reroute' | 'unpoison' | 'identity'> {
  const nextTicket = (record: unknown) => {
    const fields = fieldsOf(record)
    return fields === undefined ? undefined : ticketOf(taskFrom(fields), fields['min_worker'])
  }
  return {
    async cancel(taskId, by, reason) {
      const words = JSON.stringify({ by, ...(reason === undefined ? {} : { reason }) })
      const answer = (await run(CANCEL, taskId, newEventId(), words, words)) as string[]
      const [outcome, before, fields] = answer
      if (outcome === 'unknown' || outcome === undefined) return undefined
      return { outcome: outcome as 'ended', before: before as Task['state'], task: taskFrom(fieldsOf(fields) ?? {}) }
    },
    async failUnowned(taskId, n, failure) {
      const json = JSON.stringify(failure)
      const answer = (await run(FAIL_UNOWNED, taskId, n, newEventId(), `{"failure":${json}}`, json)) as [string]
      return answer[0] === 'unknown' ? undefined : endedOf(answer)
    },
    timeoutUnowned: async (taskId, n) => (await run(TIMEOUT_UNOWNED, taskId, n, newEventId(), OWNER_GRACE_MS)) === 1,
    async ticketAdded(...tickets) {
      if (tickets.length > 0) await redis.zrem(keys.pending, ...tickets.map(ticketId))
    },
    reissue: async (taskId, n) => nextTicket(await run(REISSUE, taskId, n, newEventId())),
    reroute: async (taskId, n, engineId) => nextTicket(await run(REROUTE, taskId, n, engineId ?? '')),
    unpoison: async (taskId) => (await redis.zrem(keys.poisoned, taskId)) === 1,
    async identity() {
      const [id, createdAt] = (await run(IDENTITY, randomUUID())) as [string, string]
      return { id, createdAt: Number(createdAt) }
    },
  }
}
