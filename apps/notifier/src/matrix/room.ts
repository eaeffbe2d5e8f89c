import type { Log } from '@longshore/contracts'
import type { MatrixClient } from './client.ts'
import { MatrixError } from './matrix-error.ts'

export interface RoomWish {
  /** `!id:server` or `#alias:server`; without it, one room per deployment that we make. */
  given: string | undefined
  deployment: string
  botId: string
  observers: readonly string[]
}

/** The room cannot be used until a person changes something. */
export class RoomUnusable extends Error {
  override readonly name = 'RoomUnusable'
}

/** Synapse refuses more invites in one createRoom. */
const INVITES_AT_ONCE = 20

/**
 * Finds or makes the room, is in it, and makes sure that what is said there is not thought to be encrypted.
 * @returns its id @throws MatrixError, RoomUnusable
 */
export async function openRoom(client: MatrixClient, wish: RoomWish): Promise<string> {
  const roomId = await enter(client, wish)
  const encryption = await client.roomState(roomId, 'm.room.encryption')
  if (encryption !== undefined) {
    throw new RoomUnusable(`the room ${roomId} is encrypted and Longshore posts plain text only; give an unencrypted one in MATRIX_ROOM_ID`)
  }
  return roomId
}

async function enter(client: MatrixClient, wish: RoomWish): Promise<string> {
  if (wish.given !== undefined) return client.join(wish.given).catch(asUnusable(wish.given))
  const alias = aliasOf(wish)
  const found = await client.resolveAlias(alias).catch(on('M_NOT_FOUND', () => undefined))
  if (found !== undefined) return client.join(found).catch(asUnusable(alias))
  // createRoom has no transaction id: the alias makes a second call find the first one's room.
  return client.createRoom(newRoom(wish)).catch(on('M_ROOM_IN_USE', () => client.resolveAlias(alias)))
}

function aliasOf({ deployment, botId }: RoomWish): string {
  return `#longshore-${deployment}:${botId.slice(botId.indexOf(':') + 1)}`
}

/** Observers read and react; only the bot (and whom it gives the right) speaks. */
function newRoom({ deployment, botId, observers }: RoomWish): object {
  return {
    preset: 'private_chat',
    room_alias_name: `longshore-${deployment}`,
    name: `Longshore · ${deployment}`,
    topic: 'Coding tasks as they run: one thread per task.',
    invite: observers.filter((observer) => observer !== botId).slice(0, INVITES_AT_ONCE),
    power_level_content_override: { events_default: 50, events: { 'm.reaction': 0 }, users: { [botId]: 100 } },
  }
}

/**
 * Brings people into the room who never were in it. An invitation is a courtesy: it fails quietly, holds up no notice,
 * and is tried again with the next task. Who has left is not called back.
 */
export async function invite(client: MatrixClient, roomId: string, observers: readonly string[], invited: Set<string>, log: Log): Promise<void> {
  for (const observer of observers.filter((one) => !invited.has(one))) {
    try {
      const member = await client.roomState(roomId, 'm.room.member', observer)
      if (member === undefined) await client.invite(roomId, observer)
      invited.add(observer)
    } catch (error) {
      log.warn({ observer, room: roomId, reason: String(error) }, 'an observer could not be invited')
      if (error instanceof MatrixError && error.status !== 429 && error.status !== undefined && error.status < 500) invited.add(observer)
    }
  }
}

const on = <T>(errcode: string, otherwise: () => T) => (error: unknown): T => {
  if (error instanceof MatrixError && error.errcode === errcode) return otherwise()
  throw error
}

const asUnusable = (room: string) => (error: unknown): never => {
  if (error instanceof MatrixError && (error.status === 403 || error.status === 404 || error.status === 400)) {
    throw new RoomUnusable(`the notifier's user cannot enter the room ${room}; invite it there (${error.message})`, { cause: error })
  }
  throw error
}
