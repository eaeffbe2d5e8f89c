import { LongshoreError } from '@longshore/contracts'
import type { DeadLetter } from '@longshore/outbox'
import { z } from 'zod'
import { defineOperation, type Operation, type Ports } from './operation.ts'
import { Timestamp, toTimestamp } from './parameters.ts'

const NoticeView = z.object({
  notice_id: z.string().describe('For replay_dead_notices.'),
  sink: z.string().describe('Where it was to go: matrix, letta, webhook.'),
  lane: z.string().describe('The room, agent or endpoint.'),
  kind: z.string(),
  task_id: z.string().optional(),
  died_at: Timestamp,
  reason: z.string().describe('What the receiver said.'),
})

const viewOf = ({ id, sink, lane, kind, task_id, at, reason }: DeadLetter): z.output<typeof NoticeView> => (
  { notice_id: id, sink, lane, kind, ...(task_id === undefined ? {} : { task_id }), died_at: toTimestamp(at), reason }
)

export function listDeadNotices(ports: Ports): Operation {
  return defineOperation({
    name: 'list_dead_notices',
    title: 'List dead notices',
    description: 'Notices that their receiver (Matrix, Letta, a webhook) refused for good, newest first, with its reason. They stay in this list until they are replayed; of each sink the newest thousand are kept.',
    input: z.strictObject({
      limit: z.int().min(1).max(200).default(50).describe('How many at most, 1 to 200.'),
      offset: z.int().min(0).max(10_000).default(0).describe('How many to skip from the newest.'),
    }),
    output: z.object({ total: z.int(), notices: z.array(NoticeView) }),
    hints: { readOnlyHint: true, destructiveHint: false, idempotentHint: true, openWorldHint: false },
    scope: 'operate',
    route: { method: 'GET', path: '/api/dead-notices' },
    isTool: true,
    async handle({ limit, offset }) {
      const { total, letters } = await ports.deadNotices.list(limit, offset)
      return { total, notices: letters.map(viewOf) }
    },
  })
}

/** A notice leaves the list in the step that puts it back into its outbox: a replay that is sent twice posts it once. */
export function replayDeadNotices(ports: Ports): Operation {
  return defineOperation({
    name: 'replay_dead_notices',
    title: 'Replay dead notices',
    description: 'Puts a dead notice, or all of them, back into the outbox, for a notifier to send. Mend first what its reason says: else it comes back.',
    input: z.strictObject({ notice_id: z.string().min(1).max(400).describe('As list_dead_notices names it, or all.') }),
    output: z.object({ replayed: z.int(), message: z.string() }),
    hints: { readOnlyHint: false, destructiveHint: false, idempotentHint: true, openWorldHint: true },
    scope: 'operate',
    route: { method: 'POST', path: '/api/dead-notices/replay', status: 202 },
    isTool: true,
    async handle({ notice_id: which }) {
      const replayed = await ports.deadNotices.replay(which)
      if (replayed === 0 && which !== 'all') {
        throw new LongshoreError('invalid_input', `notice_id: no dead notice ${JSON.stringify(which)}`, { field: 'notice_id', next: 'list_dead_notices names those there are; all replays every one.' })
      }
      return { replayed, message: replayed === 0 ? 'There was none.' : `${replayed} wait${replayed === 1 ? 's' : ''} in the outbox again.` }
    },
  })
}
