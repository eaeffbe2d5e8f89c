import type { Log } from '@longshore/contracts'
import type { Frozen } from '../outbox/frozen.ts'
import type { MatrixClient } from './client.ts'
import { bareMessageOf, isSame, txnOf } from './content.ts'
import { troubleOf } from './matrix-error.ts'

const PAGE = 100
/** Clocks differ, ours and the homeserver's. */
const CLOCKS_MS = 60_000

/** Sends a frozen letter; where its body is refused, the bare fact. @returns the event's id @throws MatrixError */
export async function post(client: MatrixClient, botId: string, frozen: Frozen, log: Log): Promise<string> {
  const { notice: letter, place, txn, content } = frozen
  try {
    return await client.send(place, 'm.room.message', txn, content)
  } catch (error) {
    if (troubleOf(error).kind !== 'refused') throw error
    log.warn({ room: place, kind: letter.kind, ...(letter.kind === 'reply' ? {} : { task: letter.task_id }), reason: String(error) }, 'a notice was refused; sending the bare fact')
    return client.send(place, 'm.room.message', txnOf(botId, place, letter, ' bare'), bareMessageOf(letter, content['m.relates_to']))
  }
}

/** Looks for our own message in what was said since it was frozen. @returns its event id */
export async function findSent(client: MatrixClient, botId: string, frozen: Frozen): Promise<string | undefined> {
  const since = frozen.frozen_at - CLOCKS_MS
  let from: string | undefined
  do {
    const page = await client.messages(frozen.place, from, PAGE)
    const found = page.chunk.find((event) => event.sender === botId && isSame(event.content, frozen.notice, frozen.content))
    if (found !== undefined) return found.event_id
    from = (page.chunk.at(-1)?.origin_server_ts ?? 0) < since ? undefined : page.end
  } while (from !== undefined)
  return undefined
}
