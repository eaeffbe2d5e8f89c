import { randomUUID } from 'node:crypto'

import type { Task } from '@longshore/contracts'
import type { RoomEvent } from '../matrix/client.ts'
import { TASK_FIELD } from '../matrix/content.ts'
import { type Person, saidIn } from './homeserver.ts'
import { eventually, rootsOf, type World } from './world.ts'

/** People in the room of a deployment's agent, and what the bot answers them. */
export interface Talk {
  roomId: string
  /** Event id of a task's card. */
  card(task: Task): Promise<string>
  /** @returns its event id */
  say(person: Person, body: string, relatesTo?: object, more?: object): Promise<string>
  /** In a task's thread, as a client does that knows threads. */
  inThread(person: Person, task: Task, body: string): Promise<string>
  react(person: Person, eventId: string, key: string): Promise<string>
  /** What the bot answered to that event, once it has. */
  answerTo(eventId: string): Promise<RoomEvent>
  answers(): Promise<RoomEvent[]>
  /** A question of a task as the bot posts it. */
  question(task: Task, inputId: string, as?: Person): Promise<string>
}

export async function talkIn(world: World, ...people: readonly Person[]): Promise<Talk> {
  const roomId = await world.room()
  for (const { client } of people) await eventually(() => client.join(roomId).catch(() => undefined), (joined) => joined !== undefined, 'to be let in')
  const heard = async () => (await saidIn(world.bot.client, roomId))
  const ours = async () => (await heard()).filter(({ sender }) => sender === world.bot.userId)
  const repliesTo = ({ content }: RoomEvent) => (content['m.relates_to'] as { 'm.in_reply_to'?: { event_id: string } } | undefined)?.['m.in_reply_to']?.event_id
  const answers = async () => (await ours()).filter((event) => event.content[TASK_FIELD] === undefined)
  const say: Talk['say'] = (person, body, relatesTo, more = {}) =>
    person.client.send(roomId, 'm.room.message', randomUUID(), { msgtype: 'm.text', body, ...(relatesTo === undefined ? {} : { 'm.relates_to': relatesTo }), ...more })
  const card = async (task: Task) => {
    const isIts = (event: RoomEvent) => (event.content[TASK_FIELD] as { task_id?: string } | undefined)?.task_id === task.id
    const told = (await eventually(ours, (all) => all.some(isIts), 'the card')).filter(isIts)
    return rootsOf(told)[0]?.event_id ?? ''
  }
  return {
    roomId, card, say, answers,
    inThread: async (person, task, body) => {
      const root = await card(task)
      return say(person, body, { rel_type: 'm.thread', event_id: root, is_falling_back: true, 'm.in_reply_to': { event_id: root } })
    },
    react: (person, eventId, key) => person.client.send(roomId, 'm.reaction', randomUUID(), { 'm.relates_to': { rel_type: 'm.annotation', event_id: eventId, key } }),
    answerTo: async (eventId) => {
      const all = await eventually(answers, (found) => found.some((event) => repliesTo(event) === eventId), `an answer to ${eventId}`)
      return all.find((event) => repliesTo(event) === eventId) as RoomEvent
    },
    question: async (task, input_id, as = world.bot) => {
      const root = await card(task)
      return say(as, 'Which color?', { rel_type: 'm.thread', event_id: root, is_falling_back: true, 'm.in_reply_to': { event_id: root } }, { 'm.mentions': {}, [TASK_FIELD]: { v: 1, task_id: task.id, kind: 'question', status: 'input_required', seq: 9, input_id } })
    },
  }
}

/** Rooms of the deployment's agent, with somebody who may speak there. */
export const authorityOf = (roles: Readonly<Record<string, string>>): Record<string, string> => ({ MATRIX_AUTHORITY: JSON.stringify(roles) })
