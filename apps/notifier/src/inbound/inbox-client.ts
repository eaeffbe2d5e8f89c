import { z } from 'zod'
import { type Call, ifNotFound, RoomEvent } from '../matrix/client.ts'
import { MatrixError } from '../matrix/matrix-error.ts'

const SeenEvent = RoomEvent.extend({ room_id: z.string() })
export type SeenEvent = z.infer<typeof SeenEvent>

// One that is none must not cost us the others.
const Events = z.array(z.unknown()).transform((all) => all.flatMap((one) => RoomEvent.safeParse(one).data ?? []))
const Timeline = z.object({ events: Events, limited: z.boolean().optional(), prev_batch: z.string().optional() })
const Sync = z.object({ next_batch: z.string(), rooms: z.object({ join: z.record(z.string(), z.object({ timeline: Timeline })).optional() }).optional() })
const Page = z.object({ chunk: Events, end: z.string().optional() })

/** What was said in one room since the last look, oldest first. */
export interface RoomNews { roomId: string; events: RoomEvent[]; /** There is more before these: read on backwards from here. */ gapBefore: string | undefined }
export interface News { next: string; rooms: RoomNews[] }

/** The part of Matrix's client-server API by which we listen. Each method throws MatrixError. */
export interface InboxClient {
  /** What was said since; waits that long for something. Without `since` nothing is told but where we stand. */
  news(since: string | undefined, waitMs: number): Promise<News>
  /** What was said between two positions, newest first, a page from `from` on. */
  earlier(roomId: string, from: string, downTo: string): Promise<{ events: RoomEvent[]; next: string | undefined }>
  /** As the homeserver has it, in this room; undefined: it has it not, or does not show it to us. */
  event(roomId: string, eventId: string): Promise<SeenEvent | undefined>
}

const PAGE = 200

export function createInboxClient(call: Call, botId: string): InboxClient {
  // Our own posts would fill the window, and make it a gap in a busy room.
  const timeline = { types: ['m.room.message', 'm.reaction'], not_senders: [botId] }
  const nothing = { types: [] }
  const filter = (limit: number) => JSON.stringify({ presence: nothing, account_data: nothing, room: { timeline: { ...timeline, limit }, state: nothing, ephemeral: nothing, account_data: nothing } })
  const query = (params: Record<string, string>) => new URLSearchParams(params).toString()
  const room = (roomId: string) => `/v3/rooms/${encodeURIComponent(roomId)}`
  return {
    async news(since, waitMs) {
      const { next_batch, rooms } = await call(Sync, 'GET', `/v3/sync?${query({ timeout: String(waitMs), filter: filter(since === undefined ? 1 : PAGE), ...(since === undefined ? {} : { since }) })}`, undefined, waitMs)
      const joined = since === undefined ? [] : Object.entries(rooms?.join ?? {})
      return { next: next_batch, rooms: joined.map(([roomId, { timeline: { events, limited, prev_batch } }]) => ({ roomId, events, gapBefore: limited === true ? prev_batch : undefined })) }
    },
    async earlier(roomId, from, downTo) {
      const { chunk, end } = await call(Page, 'GET', `${room(roomId)}/messages?${query({ dir: 'b', limit: String(PAGE), from, to: downTo, filter: JSON.stringify(timeline) })}`)
      return { events: chunk, next: end }
    },
    async event(roomId, eventId) {
      const found = await call(SeenEvent, 'GET', `${room(roomId)}/event/${encodeURIComponent(eventId)}`).catch(ifNotShown)
      return found?.room_id === roomId && found.event_id === eventId ? found : undefined
    },
  }
}

function ifNotShown(error: unknown): undefined {
  if (error instanceof MatrixError && (error.status === 403 || error.status === 400)) return undefined
  return ifNotFound(error)
}
