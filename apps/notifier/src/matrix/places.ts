import type { Clock, Log } from '@longshore/contracts'
import type { MatrixClient } from './client.ts'
import type { People } from './people.ts'
import { openRoom, RoomUnusable } from './room.ts'
import { type RoomPlan, wishOf } from './room-plan.ts'

/** How old our knowledge of a room and of our own account may be: somebody may switch encryption on, or take the token back. */
const TRUSTED_MS = 60_000
/** Rooms remembered; with a room per task there is no end to them. */
const MAX_PLACES = 1_000

interface Seen<T> { value: T; at: number }

/** Where each lane posts, and as whom. */
export interface Places {
  /** @throws MatrixError, RoomUnusable */
  open(lane: string, title: string | undefined, people: readonly string[]): Promise<void>
  /** The room of a lane that is open. */
  room(lane: string): string
  /** User and device: a homeserver remembers transaction ids per device. */
  account(): string
  forget(lane: string): void
}

export interface PlacesDeps { client: MatrixClient; plan: RoomPlan; people: People; log: Log; now: Clock }

export function createPlaces({ client, plan, people, log, now }: PlacesDeps): Places {
  const rooms = new Map<string, Seen<string>>()
  let account: Seen<string> | undefined
  const isFresh = (seen: Seen<string>): boolean => now() - seen.at < TRUSTED_MS
  const checkAccount = async () => {
    if (account === undefined || !isFresh(account)) account = { value: await accountOf(client, plan.botId), at: now() }
  }
  const openLane = async (lane: string, title: string | undefined, invited: readonly string[]): Promise<string> => {
    const known = rooms.get(lane)
    if (known !== undefined && isFresh(known)) return known.value
    const wish = wishOf(lane, title, plan)
    const space = wish.kind === 'ours' && wish.inSpace ? await openLane('space', undefined, []) : undefined
    const roomId = await openRoom(client, wish, plan, [...plan.observers, ...invited], space)
    if (known === undefined) log.info({ lane, room: roomId }, 'notices go to Matrix')
    if (rooms.size >= MAX_PLACES) rooms.clear()
    rooms.set(lane, { value: roomId, at: now() })
    // Also who may speak: not all of them fit into the making of a room, and the operator's list may have grown since.
    void people.invite(roomId, [...new Set([...plan.observers, ...(wish.kind === 'ours' ? plan.speakers : [])])].filter((one) => one !== plan.botId))
    return roomId
  }
  return {
    open: async (lane, title, invited) => {
      await checkAccount()
      await openLane(lane, title, invited)
    },
    room: (lane) => rooms.get(lane)?.value ?? neverOpened(lane),
    account: () => account?.value ?? neverOpened('account'),
    forget: (lane) => {
      rooms.delete(lane)
      // To be asked for again; other lanes were opened with it and may be about to send.
      if (account !== undefined) account = { ...account, at: -Infinity }
    },
  }
}

function neverOpened(what: string): never {
  throw new Error(`the sink was used before it was open: ${what}`)
}

async function accountOf(client: MatrixClient, botId: string): Promise<string> {
  const { user_id: userId, device_id: device } = await client.whoami()
  if (userId !== botId) throw new RoomUnusable(`the access token belongs to ${userId}, but MATRIX_USER_ID is ${botId}`)
  return `${userId} ${device ?? ''}`
}
