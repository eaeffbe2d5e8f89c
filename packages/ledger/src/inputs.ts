import { InputAnswer, InputId, InputStatus, type StoredInput, TaskId, TaskInput } from '@longshore/contracts'
import type { Redis } from 'ioredis'

import { withTicket } from './control-answer.ts'
import type { LedgerContext } from './create-ledger.ts'
import { newEventId } from './event-id.ts'
import { fitEvents } from './fit-event.ts'
import { ANSWER, ASK, SETTLE } from './input-scripts.ts'
import type { Keys } from './keys.ts'
import type { Ledger } from './ledger.ts'
import { lost } from './owner-writes.ts'
import { fieldsOf } from './record.ts'

/** What agents want to know: asked and settled by the owner, answered by whoever may. */
export function inputs({ redis, keys, log, run }: LedgerContext): Pick<Ledger, 'ask' | 'settleInput' | 'inputs' | 'answer' | 'answerExpired'> {
  const answer: Ledger['answer'] = async (taskId, inputId, words, { why, wish = '' } = {}) => {
    const { choices, by, message } = words
    // The log may have to cut it, the agent gets all of it.
    const [event] = fitEvents([{ type: 'task.input_answered', payload: { input_id: inputId, answer: choices.join(', '), by, ...(message === undefined ? {} : { message }), ...(why === undefined ? {} : { why }) } }])
    return withTicket('answered', await run(ANSWER, wish, taskId, inputId, JSON.stringify(event?.payload), JSON.stringify(words), newEventId(), newEventId(), why === 'expired' ? 1 : 0))
  }
  const answerFor = async (member: string): Promise<boolean> => {
    const [id, inputId] = member.split(' ')
    const taskId = TaskId.parse(id)
    const input = (await inputsOf(redis, keys, taskId)).find(({ input_id }) => input_id === inputId)
    const answered = await answer(taskId, InputId.parse(inputId), { choices: input?.kind === 'permission' ? [input.unanswered] : [], by: 'policy' }, { why: 'expired' })
    // Of a record that is not there nobody else would take it off.
    if (answered === undefined) await redis.zrem(keys.expiring, member)
    return answered?.outcome === 'answered'
  }
  return {
    async ask(claim, input) {
      const { input_id, kind, question, choices, free_text, multiple, tool, ttl_ms } = input
      const [event] = fitEvents([{ type: 'task.input_required', payload: { input_id, kind, question, choices, free_text, multiple, ...(tool === undefined ? {} : { tool }) } }])
      if ((await run(ASK, claim.taskId, claim.claim, input_id, JSON.stringify(input), JSON.stringify(event?.payload), newEventId(), ttl_ms)) !== 1) throw lost(claim)
    },
    async settleInput(claim, inputId, how) {
      const payload = { input_id: inputId, answer: '', by: 'agent', why: 'withdrawn' as const }
      if ((await run(SETTLE, claim.taskId, claim.claim, inputId, how, JSON.stringify(payload), newEventId())) !== 1) throw lost(claim)
    },
    inputs: (taskId) => inputsOf(redis, keys, taskId),
    answer,
    async answerExpired(limit) {
      const [seconds = 0, micros = 0] = await redis.time()
      let count = 0
      for (const member of await redis.zrangebyscore(keys.expiring, '-inf', seconds * 1_000 + Math.floor(micros / 1_000), 'LIMIT', 0, limit)) {
        // One that cannot be read is not to keep the others waiting.
        const isAnswered = await answerFor(member).catch((error: unknown) => log.warn({ err: error, member }, 'a question that nobody answered in time could not be dealt with'))
        if (isAnswered === true) count += 1
      }
      return count
    },
  }
}

/** In the order in which they were asked, from the hash that input-scripts.ts describes. */
async function inputsOf(redis: Redis, keys: Keys, taskId: TaskId): Promise<StoredInput[]> {
  const fields = fieldsOf(await redis.hgetall(keys.inputs(taskId)))
  if (fields === undefined) return []
  const ids = Object.keys(fields).filter((field) => !field.includes(' '))
  const due = await redis.zmscore(keys.expiring, ...ids.map((id) => `${taskId} ${id}`))
  return ids.map((id, i) => inputOf(fields, id, due[i])).sort((a, b) => a.asked_at - b.asked_at || (a.input_id < b.input_id ? -1 : 1))
}

function inputOf(fields: Readonly<Record<string, string>>, id: string, due: string | number | null | undefined): StoredInput {
  const answer = fields[`${id} answer`]
  return {
    ...TaskInput.parse(JSON.parse(fields[id] ?? '')),
    status: InputStatus.parse(fields[`${id} status`]),
    ...(answer === undefined ? {} : { answer: InputAnswer.parse(JSON.parse(answer)) }),
    ...(due === null || due === undefined ? {} : { expires_at: Number(due) }),
  }
}
