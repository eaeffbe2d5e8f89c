import { randomUUID } from 'node:crypto'

import { type MatrixUser, type SynapseServer, waitFor } from '@longshore/testkit'
import { z } from 'zod'

const TaskField = z.looseObject({ task_id: z.string(), kind: z.string(), status: z.string(), input_id: z.string().optional() })
const Relation = z.looseObject({ rel_type: z.string().optional(), event_id: z.string().optional(), 'm.in_reply_to': z.object({ event_id: z.string() }).optional() })
const Said = z.looseObject({ event_id: z.string(), sender: z.string(), content: z.looseObject({ body: z.string().optional(), 'm.relates_to': Relation.optional(), 'dev.longshore.task': TaskField.optional() }) })
type Said = z.infer<typeof Said>

/** The room of an agent's tasks, as people in it use it. */
export interface MatrixRoom {
  /** The first message of this kind about the task, once it is there. @returns its event id */
  find(taskId: string, kind: string, status?: string): Promise<string>
  /** In the task's thread. @returns its event id */
  say(as: MatrixUser, taskId: string, body: string): Promise<string>
  react(as: MatrixUser, eventId: string, key: string): Promise<void>
  /** What the bot answered to it, once it has. */
  answerTo(eventId: string): Promise<string>
  /** The newest look of the task's card. */
  card(taskId: string): Promise<string>
}

/** Waits for the room, and brings these people into it. */
export async function enterMatrixRoom(server: SynapseServer, bot: MatrixUser, alias: string, people: readonly MatrixUser[]): Promise<MatrixRoom> {
  const ask = async <T>(schema: z.ZodType<T>, as: MatrixUser, method: string, path: string, body?: object): Promise<T> => {
    const response = await fetch(`${server.baseUrl}/_matrix/client/v3${path}`, { method, headers: { authorization: `Bearer ${as.accessToken}` }, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`)
    return schema.parse(await response.json())
  }
  const found = (what: string, look: () => Promise<string | undefined>) => waitFor(look, { what, timeoutMs: 60_000, everyMs: 200 })
  const { room_id } = await waitFor(() => ask(z.object({ room_id: z.string() }), bot, 'GET', `/directory/room/${encodeURIComponent(`#${alias}:${server.serverName}`)}`).catch(() => undefined), { what: alias, timeoutMs: 60_000, everyMs: 200 })
  const room = `/rooms/${encodeURIComponent(room_id)}`
  for (const person of people) await waitFor(() => ask(z.looseObject({}), person, 'POST', `${room}/join`, {}).catch(() => undefined), { what: `${person.userId} to be let in`, everyMs: 200 })
  const said = async (): Promise<Said[]> => (await ask(z.object({ chunk: z.array(Said) }), bot, 'GET', `${room}/messages?dir=b&limit=500`)).chunk.toReversed()
  const about = async (taskId: string) => (await said()).filter(({ sender, content }) => sender === bot.userId && content['dev.longshore.task']?.task_id === taskId)
  const send = async (as: MatrixUser, type: string, content: object) => (await ask(z.object({ event_id: z.string() }), as, 'PUT', `${room}/send/${type}/${randomUUID()}`, content)).event_id
  const find: MatrixRoom['find'] = (taskId, kind, status) => found(`${kind} of ${taskId}`, async () =>
    (await about(taskId)).find(({ content: { 'dev.longshore.task': field } }) => field?.kind === kind && (status === undefined || field.status === status))?.event_id)
  return {
    find,
    say: async (as, taskId, body) => {
      const root = await find(taskId, 'card')
      return send(as, 'm.room.message', { msgtype: 'm.text', body, 'm.relates_to': { rel_type: 'm.thread', event_id: root, is_falling_back: true, 'm.in_reply_to': { event_id: root } } })
    },
    react: async (as, eventId, key) => void (await send(as, 'm.reaction', { 'm.relates_to': { rel_type: 'm.annotation', event_id: eventId, key } })),
    answerTo: (eventId) => found(`an answer to ${eventId}`, async () =>
      (await said()).find(({ sender, content }) => sender === bot.userId && content['dev.longshore.task'] === undefined && content['m.relates_to']?.['m.in_reply_to']?.event_id === eventId)?.content.body),
    card: async (taskId) => (await about(taskId)).findLast(({ content }) => content['dev.longshore.task']?.kind === 'card')?.content.body ?? '',
  }
}
