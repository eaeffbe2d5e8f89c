import { randomUUID } from 'node:crypto'

import { MAX_OPEN_INPUTS, ticketId } from '@longshore/contracts'

import { controlAnswer, nextTicket, withTicket } from './control-answer.ts'
import type { LedgerContext } from './create-ledger.ts'
import { endedOf } from './ending.ts'
import { newEventId } from './event-id.ts'
import { fitEvents } from './fit-event.ts'
import type { Ledger } from './ledger.ts'
import { CANCEL, FAIL_UNOWNED, IDENTITY, PAUSE, POST, REISSUE, REROUTE, RESUME, TIMEOUT_UNOWNED } from './unowned-scripts.ts'

/** An owner whose ledger answers ends its task within milliseconds of the deadline. */
const OWNER_GRACE_MS = 30_000

/** What controls, the dispatcher and the reconciler write; the state table and the ticket's number guard it. */
export function unownedWrites({ redis, keys, run }: LedgerContext): Pick<Ledger, 'cancel' | 'pause' | 'resume' | 'post' | 'failUnowned' | 'timeoutUnowned' | 'ticketAdded' | 'reissue' | 'reroute' | 'unpoison' | 'identity' | 'wished'> {
  const resume: Ledger['resume'] = async (taskId, by, wish = '') => {
    const askedAgain = Array.from({ length: MAX_OPEN_INPUTS }, newEventId)
    return withTicket('resumed', await run(RESUME, wish, taskId, newEventId(), JSON.stringify(by), ...askedAgain))
  }
  return {
    async cancel(taskId, by, reason, wish = '') {
      const words = JSON.stringify({ by, reason })
      return controlAnswer(await run(CANCEL, wish, taskId, newEventId(), words, words))
    },
    pause: async (taskId, by, reason, wish = '') => controlAnswer(await run(PAUSE, wish, taskId, newEventId(), JSON.stringify({ by, reason }))),
    resume,
    async post(taskId, mail, wish = '') {
      // The log may have to cut it, the agent gets all of it.
      const [event] = fitEvents([{ type: 'task.message', payload: mail }])
      return controlAnswer(await run(POST, wish, taskId, newEventId(), mail.message_id, JSON.stringify(event?.payload), JSON.stringify(mail)))
    },
    async failUnowned(taskId, n, failure) {
      const json = JSON.stringify(failure)
      const answer = (await run(FAIL_UNOWNED, taskId, n, newEventId(), `{"failure":${json}}`, json)) as [string]
      return answer[0] === 'unknown' ? undefined : endedOf(answer)
    },
    async timeoutUnowned(taskId, n) {
      const answer = await run(TIMEOUT_UNOWNED, taskId, n, newEventId(), OWNER_GRACE_MS)
      if (answer === 2) await resume(taskId, 'policy')
      return answer === 1
    },
    async ticketAdded(...tickets) {
      if (tickets.length > 0) await redis.zrem(keys.pending, ...tickets.map(ticketId))
    },
    reissue: async (taskId, n) => nextTicket(await run(REISSUE, taskId, n, newEventId())),
    reroute: async (taskId, n, engineId) => nextTicket(await run(REROUTE, taskId, n, engineId ?? '')),
    unpoison: async (taskId) => (await redis.zrem(keys.poisoned, taskId)) === 1,
    wished: async (wish) => (await redis.get(keys.wish(wish)))?.split(' ')[0],
    async identity() {
      const [id, createdAt] = (await run(IDENTITY, randomUUID())) as [string, string]
      return { id, createdAt: Number(createdAt) }
    },
  }
}
