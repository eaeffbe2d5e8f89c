import type { Clock, Log } from '@longshore/contracts'
import { draftNotices } from '../draft-notices.ts'
import type { Frozen } from '../outbox/frozen.ts'
import type { Outcome, Sink } from '../sink.ts'
import type { MatrixClient, RoomEvent } from './client.ts'
import { bareMessageOf, messageOf, TASK_FIELD, txnOf } from './content.ts'
import { MatrixError, troubleOf } from './matrix-error.ts'
import { invite, openRoom, RoomUnusable, type RoomWish } from './room.ts'

export interface MatrixSinkDeps { client: MatrixClient; wish: RoomWish; log: Log; now: Clock }

interface Place { roomId: string; account: string; seenAt: number }

/** How old our knowledge of the room may be: somebody may switch encryption on. */
const PLACE_TRUSTED_MS = 60_000

/** A homeserver remembers transaction ids for 24 h; from here on we look before we send again. */
const TXN_TRUSTED_MS = 20 * 60 * 60_000
const PAGE = 100

/** Posts cards and completions to one room, each exactly once (G8). */
export function createMatrixSink({ client, wish, log, now }: MatrixSinkDeps): Sink {
  let place: Place | undefined
  const invited = new Set<string>()

  const opened = (): Place => {
    if (place === undefined) throw new Error('the sink was used before it was open')
    return place
  }

  return {
    name: 'matrix',
    draft: draftNotices,
    open: async () => {
      if (place !== undefined && now() - place.seenAt < PLACE_TRUSTED_MS) return { kind: 'sent' }
      try {
        const found = { ...(await findPlace(client, wish)), seenAt: now() }
        if (place === undefined) log.info({ room: found.roomId }, 'notices go to Matrix')
        place = found
        // Only whom the operator names: the room shows every agent's tasks, and any agent's key may name observers (G11).
        void invite(client, found.roomId, wish.observers, invited, log)
        return { kind: 'sent' }
      } catch (error) {
        place = undefined
        if (error instanceof RoomUnusable) return { kind: 'blocked', reason: error.message }
        const trouble = troubleOf(error)
        return trouble.kind === 'refused' ? { kind: 'blocked', reason: trouble.reason } : trouble
      }
    },
    freeze: (notice, root) => {
      const { roomId, account } = opened()
      const content = messageOf(notice, rootIn(roomId, root))
      return { v: 1, notice, txn: txnOf(wish.botId, roomId, notice), place: roomId, account, content, frozen_at: now() }
    },
    send: async (frozen, isRetry) => {
      try {
        const isForgotten = isRetry && (now() - frozen.frozen_at > TXN_TRUSTED_MS || frozen.account !== opened().account)
        const eventId = (isForgotten ? await findSent(client, wish.botId, frozen) : undefined) ?? await post(client, wish.botId, frozen, log)
        return isRoot(frozen) ? { kind: 'sent', receipt: `${frozen.place} ${eventId}` } : { kind: 'sent' }
      } catch (error) {
        return judge(error, () => { place = undefined })
      }
    },
  }
}

async function findPlace(client: MatrixClient, wish: RoomWish): Promise<Omit<Place, 'seenAt'>> {
  const { user_id: userId, device_id: device } = await client.whoami()
  if (userId !== wish.botId) throw new RoomUnusable(`the access token belongs to ${userId}, but MATRIX_USER_ID is ${wish.botId}`)
  return { roomId: await openRoom(client, wish), account: `${userId} ${device ?? ''}` }
}

/** A receipt is `<room> <event>`; a card in another room is no root here. */
function rootIn(roomId: string, receipt: string | undefined): string | undefined {
  const [room, eventId] = receipt?.split(' ') ?? []
  return room === roomId ? eventId : undefined
}

const isRoot = (frozen: Frozen): boolean => frozen.notice.kind === 'card' && !('m.relates_to' in frozen.content)

async function post(client: MatrixClient, botId: string, frozen: Frozen, log: Log): Promise<string> {
  try {
    return await client.send(frozen.place, 'm.room.message', frozen.txn, frozen.content)
  } catch (error) {
    if (troubleOf(error).kind !== 'refused') throw error
    log.warn({ task: frozen.notice.task_id, kind: frozen.notice.kind, reason: String(error) }, 'a notice was refused; sending the bare fact')
    const bare = bareMessageOf(frozen.notice, frozen.content['m.relates_to'])
    return client.send(frozen.place, 'm.room.message', txnOf(botId, frozen.place, frozen.notice, ' bare'), bare)
  }
}

function judge(error: unknown, forgetPlace: () => void): Outcome {
  const trouble = troubleOf(error)
  if (trouble.kind === 'blocked') forgetPlace()
  // Even the bare fact may not be said here: that is about the room, not about this notice, so nothing is given up.
  if (trouble.kind === 'refused' && error instanceof MatrixError && (error.status === 403 || error.status === 404)) {
    forgetPlace()
    return { kind: 'blocked', reason: `the notifier's user may not post in its room; invite it and let it speak (${trouble.reason})` }
  }
  return trouble
}

/** Looks for our own message in what was said since it was frozen. @returns its event id */
async function findSent(client: MatrixClient, botId: string, frozen: Frozen): Promise<string | undefined> {
  const since = frozen.frozen_at - 60_000
  let from: string | undefined
  do {
    const page = await client.messages(frozen.place, from, PAGE)
    const found = page.chunk.find((event) => event.sender === botId && tellsOf(event, frozen))
    if (found !== undefined) return found.event_id
    from = (page.chunk.at(-1)?.origin_server_ts ?? 0) < since ? undefined : page.end
  } while (from !== undefined)
  return undefined
}

function tellsOf({ content }: RoomEvent, { notice, content: sent }: Frozen): boolean {
  const field = content[TASK_FIELD] as Record<string, unknown> | undefined
  const isSameForm = ('m.new_content' in content) === ('m.new_content' in sent)
  return isSameForm && field?.['task_id'] === notice.task_id && field['kind'] === notice.kind && field['seq'] === notice.seq
}
