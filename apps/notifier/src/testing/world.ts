import { sharedRedisUrl, waitFor } from '@longshore/testkit'
import { afterEach } from 'vitest'

import type { Task } from '@longshore/contracts'
import type { RoomEvent } from '../matrix/client.ts'
import { TASK_FIELD } from '../matrix/content.ts'
import { createHarbour, type Harbour } from './harbour.ts'
import { type Homeserver, type Person, saidIn } from './homeserver.ts'
import { type NotifierProcess, startNotifierProcess } from './notifier-process.ts'

/** A deployment, a homeserver's bot, and notifiers that post for it. */
export interface World {
  harbour: Harbour
  bot: Person
  start(more?: Record<string, string>): Promise<NotifierProcess>
  /** Of agent-a, whose tasks the harbour makes. */
  room(): Promise<string>
  /** What the room has of a task, oldest first; of every task without one. */
  said(task?: Task): Promise<RoomEvent[]>
}

const open: { stop(): Promise<unknown> }[] = []
/** Ended after the test, newest first. */
export function ends<T extends { stop(): Promise<unknown> }>(one: T): T {
  open.push(one)
  return one
}
afterEach(async () => {
  for (const one of open.splice(0).toReversed()) await one.stop()
})

export async function aWorld(server: Homeserver, settings: Record<string, string> = {}, redisUrl = sharedRedisUrl()): Promise<World> {
  const bot = await server.person('bot')
  const harbour = createHarbour(redisUrl)
  ends({ stop: () => Promise.resolve(harbour.redis.disconnect()) })
  const env = {
    REDIS_URL: redisUrl, LONGSHORE_DEPLOYMENT: harbour.deployment, LONGSHORE_HOME: '/nowhere', MATRIX_ENABLED: 'true',
    MATRIX_HOMESERVER_URL: server.baseUrl, MATRIX_ACCESS_TOKEN: bot.token, MATRIX_USER_ID: bot.userId, ...settings,
  }
  const domain = bot.userId.slice(bot.userId.indexOf(':') + 1)
  const room = () => waitFor(() => bot.client.resolveAlias(`#longshore-${harbour.deployment}_agent_agent-a:${domain}`), { what: 'the room' })
  return {
    harbour, bot, room,
    start: async (more = {}) => ends(await startNotifierProcess({ ...env, ...more })),
    said: async (task) => (await saidIn(bot.client, await room())).filter((event) => task === undefined || fieldOf(event).task_id === task.id),
  }
}

export const fieldOf = (event: RoomEvent) => (event.content[TASK_FIELD] ?? {}) as { task_id: string; kind: string; status: string; seq: number }
export const relationOf = (event: RoomEvent) => event.content['m.relates_to'] as { rel_type: string; event_id: string } | undefined
export const isEdit = (event: RoomEvent) => relationOf(event)?.rel_type === 'm.replace'
export const rootsOf = (events: readonly RoomEvent[]) => events.filter((event) => fieldOf(event).kind === 'card' && !isEdit(event))
export const completionsOf = (events: readonly RoomEvent[]) => events.filter((event) => fieldOf(event).kind === 'completion')

/** Asks until the answer is complete, then gives it. */
export async function eventually<T>(ask: () => Promise<T>, isComplete: (answer: T) => boolean, what: string, timeoutMs = 60_000): Promise<T> {
  const found = await waitFor(async () => {
    const answer = await ask()
    return isComplete(answer) && { answer }
  }, { what, timeoutMs, everyMs: 100 })
  return (found as { answer: T }).answer
}
