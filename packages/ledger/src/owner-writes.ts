import type { EventDraft, Failure, Request, Task, TaskId } from '@longshore/contracts'

import type { LedgerContext } from './create-ledger.ts'
import { newEventId } from './event-id.ts'
import { endedOf, endingFields, endingPayload } from './ending.ts'
import { fitEvents } from './fit-event.ts'
import { type Claim, ClaimLost, type Ledger, type Take } from './ledger.ts'
import { fieldsOf, taskFrom } from './record.ts'
import { APPEND, DELIVERED, END, REQUEUE, RESTART, RETELL, SET_OWNED, STRIKE_DEBT, TAKE } from './scripts.ts'

type OwnerWrites = Pick<Ledger, 'take' | 'restart' | 'letGo' | 'holdOn' | 'append' | 'saveHandle' | 'confirm' | 'requests' | 'delivered' | 'retell' | 'requeue' | 'end' | 'strikeDebt'>

const NOTHING_FOUND: Failure = { code: 'worker_lost', message: 'the worker was lost and nothing of its execution could be found again' }

/** G4: what only the owner of a task writes; every script asks for the claim first. */
export function ownerWrites({ redis, keys, run }: LedgerContext): OwnerWrites {
  const setOwned = async (claim: Claim, ...fields: string[]) => {
    if ((await run(SET_OWNED, claim.taskId, claim.claim, ...fields)) !== 1) throw lost(claim)
  }
  return {
    async take(ticket, worker, isolation, reach = { anywhere: true }) {
      const scope = [reach.anywhere === true ? 0 : 1, reach.engineId ?? '']
      return takeOf(await run(TAKE, ticket.task_id, ticket.n, worker, newEventId(), JSON.stringify({ worker, isolation }), ...scope))
    },
    async restart(claim, worker, isolation, failure = NOTHING_FOUND) {
      return taken(claim, await run(RESTART, claim.taskId, claim.claim, newEventId(), JSON.stringify(failure), newEventId(), JSON.stringify({ worker, isolation })))
    },
    async append(claim, drafts, position, output) {
      const events = fitEvents(drafts).flatMap((draft: EventDraft) => [newEventId(), draft.type, JSON.stringify(draft.payload)])
      const seq = await run(APPEND, claim.taskId, claim.claim, position ?? '', output === undefined ? '' : JSON.stringify(output), ...events)
      if (seq === -1) throw lost(claim)
      return Number(seq)
    },
    saveHandle: (claim, handle) => setOwned(claim, 'handle', JSON.stringify(handle)),
    confirm: (claim) => setOwned(claim),
    letGo: (claim) => setOwned(claim, 'taken', ''),
    holdOn: (claim, at) => setOwned(claim, 'taken', 'again', 'taken_at', String(at)),
    async requests({ taskId }) {
      const [cancel, pause, mail, tokens, cost, answers, deadline, waiting] = await redis.hmget(keys.task(taskId), 'cancel', 'pause', 'mail', 'tokens', 'cost_micros', 'answers', 'deadline_at', 'waiting_at')
      const times = { ...(typeof deadline === 'string' ? { deadlineAt: Number(deadline) } : {}), ...(typeof waiting === 'string' ? { waitingAt: Number(waiting) } : {}) }
      return { ...asked('cancel', cancel), ...asked('pause', pause), ...times, messages: Number(mail ?? 0), answers: Number(answers ?? 0), spent: { tokens: Number(tokens ?? 0), cost_micros: Number(cost ?? 0) } }
    },
    async delivered(claim, messageId) {
      if ((await run(DELIVERED, claim.taskId, claim.claim, messageId, newEventId())) !== 1) throw lost(claim)
    },
    async retell(claim) {
      if ((await run(RETELL, claim.taskId, claim.claim)) !== 1) throw lost(claim)
    },
    async requeue(claim, why) {
      const retry = why.reason === 'retry' ? [why.delayMs, JSON.stringify(why.failure), why.uncounted === true ? 1 : 0] : [0, '', 0]
      const answer = await run(REQUEUE, claim.taskId, claim.claim, why.reason, ...retry, newEventId(), newEventId())
      return taken(claim, answer)
    },
    async end(claim, ending) {
      return endedOf(await run(END, claim.taskId, claim.claim, ending.state, endingPayload(ending), newEventId(), ...endingFields(ending)))
    },
    async strikeDebt(taskId: TaskId) {
      await run(STRIKE_DEBT, taskId)
    },
  }
}

function takeOf(answer: unknown): Take {
  const [kind, fields] = answer as [string, unknown]
  switch (kind) {
    case 'started':
    case 'takeover':
      return { kind: 'taken', task: taskFrom(fieldsOf(fields) ?? {}), takeover: kind === 'takeover' }
    case 'elsewhere':
      return { kind: 'nothing', reason: kind, engineId: String(fields) }
    case 'over':
    case 'stale_ticket':
    case 'not_runnable':
      return { kind: 'nothing', reason: kind }
    default:
      return { kind: 'nothing', reason: 'unknown' }
  }
}

function taken(claim: Claim, answer: unknown): Task {
  const [kind, fields] = answer as [string, unknown]
  if (kind === 'lost') throw lost(claim)
  return taskFrom(fieldsOf(fields) ?? {})
}

export function lost({ taskId, claim }: Claim): ClaimLost {
  return new ClaimLost(`claim ${claim} on ${taskId} is no longer the current one`)
}

function asked<K extends 'cancel' | 'pause'>(what: K, stored: string | null | undefined): Partial<Record<K, Request>> {
  return typeof stored === 'string' ? ({ [what]: JSON.parse(stored) as Request } as Record<K, Request>) : {}
}
