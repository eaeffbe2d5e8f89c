import type { MatrixClient } from './client.ts'
import { MatrixError, troubleOf } from './matrix-error.ts'
import type { RoomForm, RoomPlan, RoomWish } from './room-plan.ts'

/** The room cannot be used until a person changes something. */
export class RoomUnusable extends Error {
  override readonly name = 'RoomUnusable'
}

/** Synapse refuses more invites in one createRoom. */
const INVITES_AT_ONCE = 20
/** What a person needs to speak where others only read. */
const SPEAKER = 50

/**
 * Finds or makes the room, is in it, and makes sure that what is said there is not thought to be encrypted.
 * @param invited who is brought in when it is made @param space the room that it belongs under
 * @returns its id @throws MatrixError, RoomUnusable
 */
export async function openRoom(client: MatrixClient, wish: RoomWish, plan: RoomPlan, invited: readonly string[], space?: string): Promise<string> {
  const roomId = wish.kind === 'given' ? await client.join(wish.room).catch(asUnusable(wish.room)) : await enterOurs(client, wish, plan, invited, space)
  const encryption = await client.roomState(roomId, 'm.room.encryption')
  if (encryption !== undefined) {
    throw new RoomUnusable(`the room ${roomId} is encrypted and Longshore posts plain text only; give an unencrypted one in MATRIX_ROOM_ID`)
  }
  return roomId
}

async function enterOurs(client: MatrixClient, form: RoomForm, plan: RoomPlan, invited: readonly string[], space: string | undefined): Promise<string> {
  const server = plan.botId.slice(plan.botId.indexOf(':') + 1)
  const alias = `#${form.alias}:${server}`
  const find = () => client.resolveAlias(alias).catch(on('M_NOT_FOUND', () => undefined))
  const found = await find()
  const people = [...new Set([...plan.observers, ...plan.speakers, ...invited])].filter((one) => one !== plan.botId).slice(0, INVITES_AT_ONCE)
  // createRoom has no transaction id: the alias makes a second call find the first one's room.
  const make = (them: readonly string[]) => client.createRoom(requestFor(form, them, space, server)).catch(on('M_ROOM_IN_USE', () => client.resolveAlias(alias)))
  // Any agent may name observers: of whom the homeserver takes for nobody the room does without, as of whom cannot be invited later.
  const roomId = found ?? await make(people).catch((error: unknown) => {
    if (troubleOf(error).kind !== 'refused') throw error
    return make([])
  })
  await checkMaker(client, roomId, alias, plan.botId)
  if (space !== undefined && (await client.roomState(space, 'm.space.child', roomId)) === undefined) await client.setState(space, 'm.space.child', roomId, { via: [server] })
  await letSpeak(client, roomId, plan.speakers)
  return roomId
}

/** Anybody may take an alias before us and wait for what is posted there: only a room that we made is ours. */
async function checkMaker(client: MatrixClient, roomId: string, alias: string, botId: string): Promise<void> {
  const maker = await client.roomMaker(roomId).catch(on('M_FORBIDDEN', async () => {
    await client.join(roomId).catch(asUnusable(alias))
    return client.roomMaker(roomId)
  }))
  if (maker !== botId) throw new RoomUnusable(`the room ${alias} was made by ${maker}, not by ${botId}; remove that alias, or give a room in MATRIX_ROOM_ID`)
}

/** Observers read and react; only the bot and whom the operator gives the right speak. The bot is what makes a room, so it may. */
function requestFor(form: RoomForm, people: readonly string[], space: string | undefined, server: string): object {
  return {
    preset: 'private_chat',
    room_alias_name: form.alias,
    name: form.name,
    topic: form.topic,
    invite: people,
    ...(form.isSpace ? { creation_content: { type: 'm.space' } } : {}),
    ...(space === undefined ? {} : { initial_state: [{ type: 'm.space.parent', state_key: space, content: { via: [server], canonical: true } }] }),
    // Who may speak may do no more: neither let strangers in nor throw others out.
    power_level_content_override: { events_default: SPEAKER, users_default: 0, invite: 100, kick: 100, ban: 100, redact: 100, state_default: 100, events: { 'm.reaction': 0, 'm.room.redaction': 0 } },
  }
}

/** The operator's list may have grown since the room was made. Nobody loses a right here that somebody gave them by hand. */
async function letSpeak(client: MatrixClient, roomId: string, speakers: readonly string[]): Promise<void> {
  if (speakers.length === 0) return
  const levels = await client.roomState(roomId, 'm.room.power_levels')
  const users = { ...(levels?.['users'] as Record<string, number> | undefined) }
  const silent = speakers.filter((one) => (users[one] ?? 0) < SPEAKER)
  if (silent.length === 0) return
  await client.setState(roomId, 'm.room.power_levels', '', { ...levels, users: { ...users, ...Object.fromEntries(silent.map((one) => [one, SPEAKER])) } })
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
