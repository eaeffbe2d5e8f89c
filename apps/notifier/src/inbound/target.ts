import { InputId, TaskId } from '@longshore/contracts'
import { z } from 'zod'
import { TASK_FIELD } from '../matrix/content.ts'
import type { InboxClient, SeenEvent } from './inbox-client.ts'
import { type Relation, relationOf } from './read-event.ts'

const Field = z.object({ v: z.literal(1), task_id: TaskId, kind: z.string(), input_id: InputId.optional().catch(undefined) })

/** What was said is about this task, and perhaps about one of its questions. */
export interface Target {
  taskId: TaskId
  /** Of what was answered or reacted to. */
  kind: string
  inputId: InputId | undefined
  /** Where our answer belongs. */
  thread: string | undefined
}

/**
 * Finds the task in what was answered, else in the thread's root. Only what the homeserver has as the bot's own post in this very room
 * counts: what somebody else writes into the field means nothing, and a task is steered from where its card stands only (G11).
 */
export async function findTarget(client: Pick<InboxClient, 'event'>, botId: string, roomId: string, relation: Relation): Promise<Target | undefined> {
  const answered = relation.replyTo === undefined ? undefined : await client.event(roomId, relation.replyTo)
  const found = targetIn(answered, botId, relation.thread)
  if (found !== undefined) return found
  // A person's message in the thread may be what was answered.
  const thread = relation.thread ?? (answered === undefined ? undefined : relationOf(answered.content['m.relates_to']).thread)
  return thread === undefined ? undefined : targetIn(await client.event(roomId, thread), botId, thread)
}

function targetIn(event: SeenEvent | undefined, botId: string, thread: string | undefined): Target | undefined {
  if (event?.sender !== botId) return undefined
  const field = Field.safeParse(event.content[TASK_FIELD])
  if (!field.success) return undefined
  const { task_id: taskId, kind, input_id: inputId } = field.data
  const own = relationOf(event.content['m.relates_to']).thread ?? (kind === 'card' ? event.event_id : undefined)
  return { taskId, kind, inputId, thread: thread ?? own }
}
