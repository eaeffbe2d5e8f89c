import { z } from 'zod'

import { MatrixError, matrixErrorFrom } from './matrix-error.ts'

const EventAnswer = z.object({ event_id: z.string() })
const Member = z.object({ sender: z.string(), content: z.object({ membership: z.string() }) }).transform(({ sender, content }) => ({ membership: content.membership, by: sender }))
const RoomAnswer = z.object({ room_id: z.string() })
const Whoami = z.object({ user_id: z.string(), device_id: z.string().optional() })
export const RoomEvent = z.looseObject({
  event_id: z.string(), sender: z.string(), type: z.string(), origin_server_ts: z.number(), content: z.record(z.string(), z.unknown()), state_key: z.string().optional(),
})
export type RoomEvent = z.infer<typeof RoomEvent>
const Messages = z.object({ chunk: z.array(RoomEvent), start: z.string().optional(), end: z.string().optional() })
const Timeline = z.object({ events: z.array(RoomEvent), limited: z.boolean().optional(), prev_batch: z.string().optional() })
const JoinedRoom = z.looseObject({ timeline: Timeline, unread_notifications: z.object({ highlight_count: z.number(), notification_count: z.number() }).partial().optional() })
const Sync = z.looseObject({ next_batch: z.string(), rooms: z.looseObject({ join: z.record(z.string(), JoinedRoom).optional(), invite: z.record(z.string(), z.unknown()).optional() }).optional() })
type Sync = z.infer<typeof Sync>

export interface ClientOptions {
  baseUrl: string
  token: string
  /** One call, from connect to the last byte. */
  timeoutMs: number
  /** Ends every call when the process stops. */
  signal?: AbortSignal
}

/** The part of Matrix's client-server API that we use. Each method throws MatrixError. */
export interface MatrixClient {
  whoami(): Promise<z.infer<typeof Whoami>>
  resolveAlias(alias: string): Promise<string>
  createRoom(request: object): Promise<string>
  /** Harmless when we are in it. @returns the room's id */
  join(roomIdOrAlias: string): Promise<string>
  invite(roomId: string, userId: string): Promise<void>
  kick(roomId: string, userId: string): Promise<void>
  /** Undefined: the room has no such state. */
  roomState(roomId: string, type: string, key?: string): Promise<Record<string, unknown> | undefined>
  /** How somebody stands to a room, and who brought that about; undefined: they never were there. */
  member(roomId: string, userId: string): Promise<z.infer<typeof Member> | undefined>
  setState(roomId: string, type: string, key: string, content: object): Promise<void>
  /** Who made the room. */
  roomMaker(roomId: string): Promise<string>
  /** The same `txn` again is answered with the same event for 24 h. @returns its id */
  send(roomId: string, type: string, txn: string, content: object): Promise<string>
  /** @returns the file's `mxc:` address */
  upload(bytes: Uint8Array, name: string, mimetype: string): Promise<string>
  /** Newest first. */
  messages(roomId: string, from: string | undefined, limit: number): Promise<z.infer<typeof Messages>>
  sync(since: string | undefined, waitMs: number): Promise<Sync>
}

/** Plain `fetch` (decision 11). The token stands in a header, never in a URL. */
export function createMatrixClient(options: ClientOptions): MatrixClient {
  const call = caller(options)
  const room = (roomId: string, rest: string) => `/v3/rooms/${encodeURIComponent(roomId)}${rest}`
  return {
    whoami: () => call(Whoami, 'GET', '/v3/account/whoami'),
    resolveAlias: async (alias) => (await call(RoomAnswer, 'GET', `/v3/directory/room/${encodeURIComponent(alias)}`)).room_id,
    createRoom: async (request) => (await call(RoomAnswer, 'POST', '/v3/createRoom', request)).room_id,
    join: async (roomIdOrAlias) => (await call(RoomAnswer, 'POST', `/v3/join/${encodeURIComponent(roomIdOrAlias)}`, {})).room_id,
    invite: async (roomId, userId) => void (await call(z.unknown(), 'POST', room(roomId, '/invite'), { user_id: userId })),
    kick: async (roomId, userId) => void (await call(z.unknown(), 'POST', room(roomId, '/kick'), { user_id: userId })),
    setState: async (roomId, type, key, content) => void (await call(EventAnswer, 'PUT', room(roomId, `/state/${encodeURIComponent(type)}/${encodeURIComponent(key)}`), content)),
    roomMaker: async (roomId) => (await call(z.object({ sender: z.string() }), 'GET', room(roomId, '/state/m.room.create/?format=event'))).sender,
    member: (roomId, userId) => call(Member, 'GET', room(roomId, `/state/m.room.member/${encodeURIComponent(userId)}?format=event`)).catch(ifNotFound),
    roomState: (roomId, type, key = '') => call(z.record(z.string(), z.unknown()), 'GET', room(roomId, `/state/${encodeURIComponent(type)}/${encodeURIComponent(key)}`)).catch(ifNotFound),
    send: async (roomId, type, txn, content) => (await call(EventAnswer, 'PUT', room(roomId, `/send/${encodeURIComponent(type)}/${encodeURIComponent(txn)}`), content)).event_id,
    upload: async (bytes, name, mimetype) => {
      const { content_uri: uri } = await call(z.object({ content_uri: z.string().regex(/^mxc:\/\/[^/?#]+\/[^/?#]+$/) }), 'POST', '/media/v1/create', {})
      // 409: it was uploaded, and only the answer was lost.
      await call(z.unknown(), 'PUT', `/media/v3/upload/${uri.slice('mxc://'.length)}?${query({ filename: name })}`, new Blob([new Uint8Array(bytes)], { type: mimetype })).catch(ifConflict)
      return uri
    },
    messages: (roomId, from, limit) => call(Messages, 'GET', room(roomId, `/messages?${query({ dir: 'b', limit: String(limit), from })}`)),
    sync: (since, waitMs) => call(Sync, 'GET', `/v3/sync?${query({ timeout: String(waitMs), since })}`, undefined, waitMs),
  }
}

/** One call of the client-server API, its answer parsed. @param body JSON, or a Blob as it is @throws MatrixError */
export type Call = <S extends z.ZodType>(schema: S, method: string, path: string, body?: object, extraMs?: number) => Promise<z.output<S>>

export function caller({ baseUrl, token, timeoutMs, signal }: ClientOptions): Call {
  return async (schema, method, path, body, extraMs = 0) => {
    const what = `${method} ${path.split('?')[0]}`
    const limit = AbortSignal.timeout(timeoutMs + extraMs)
    const request = {
      method,
      headers: { authorization: `Bearer ${token}`, ...(body === undefined ? {} : { 'content-type': body instanceof Blob ? body.type : 'application/json' }) },
      signal: signal === undefined ? limit : AbortSignal.any([limit, signal]),
      // Another server must not get our token.
      redirect: 'error' as const,
      ...(body === undefined ? {} : { body: body instanceof Blob ? body : JSON.stringify(body) }),
    }
    const { response, text } = await fetchText(`${baseUrl.replace(/\/$/, '')}/_matrix${path.startsWith('/media/') ? '' : '/client'}${path}`, request, what)
    const answer = parseJson(text)
    if (!response.ok) throw matrixErrorFrom(what, response.status, response.headers.get('retry-after'), answer)
    const parsed = schema.safeParse(answer)
    if (!parsed.success) throw new MatrixError(`${what}: an answer that is not Matrix: ${text.slice(0, 100)}`, {})
    return parsed.data
  }
}

async function fetchText(url: string, request: RequestInit, what: string): Promise<{ response: Response; text: string }> {
  try {
    const response = await fetch(url, request)
    return { response, text: await response.text() }
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error)
    throw new MatrixError(`${what}: no answer (${cause})`, { cause: error })
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function query(params: Readonly<Record<string, string | undefined>>): string {
  return new URLSearchParams(Object.entries(params).filter((entry): entry is [string, string] => entry[1] !== undefined)).toString()
}

function ifConflict(error: unknown): undefined {
  if (error instanceof MatrixError && error.status === 409) return undefined
  throw error
}

export function ifNotFound(error: unknown): undefined {
  if (error instanceof MatrixError && error.status === 404) return undefined
  throw error
}
