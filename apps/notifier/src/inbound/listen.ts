import type { Log } from '@longshore/contracts'
import type { RoomEvent } from '../matrix/client.ts'
import { MatrixError } from '../matrix/matrix-error.ts'
import { handleEvent, type HandleDeps } from './handle-event.ts'
import type { Inbox } from './inbox.ts'
import type { InboxClient, RoomNews } from './inbox-client.ts'
import type { Patience } from './patience.ts'
import { readEvent } from './read-event.ts'

export interface ListenDeps extends HandleDeps {
  client: InboxClient
  inbox: Inbox
  /** Whether the homeserver took the last call. */
  onHeard: () => void
  patience: Patience
}

/** How long the homeserver may keep us waiting for news. */
const WAIT_MS = 30_000
/** Of one room's gap; what lies further back is left unread, and the log says so. */
const MAX_MISSED = 5_000

/**
 * Hears what is said in the bot's rooms and deals with it, in order, until `signal` aborts. Where it stands is stored after a window was dealt with,
 * so a successor reads on there; what it had dealt with of the window it skips.
 * @throws what ended it: the homeserver or Redis is away, or another has the lease
 */
export async function listen(deps: ListenDeps, signal: AbortSignal): Promise<void> {
  let since = await deps.inbox.since()
  while (!signal.aborted) {
    if (since === undefined) {
      since = await begin(deps)
      continue
    }
    const { next, rooms } = await deps.client.news(since, WAIT_MS).catch(ifLost(deps.log)) ?? { next: undefined, rooms: [] }
    deps.onHeard()
    const dealtWith: string[] = []
    for (const room of rooms) dealtWith.push(...await dealWith(deps, room, since, signal))
    // Who was stopped in the middle has not dealt with all of it.
    signal.throwIfAborted()
    if (next !== undefined) await deps.inbox.advance(next, dealtWith)
    since = next
  }
}

/** What was said before the bot listened for the first time is nobody's wish any more. A first look may come from a cache, so it is followed by a second. */
async function begin({ client, inbox, log }: ListenDeps): Promise<string> {
  const first = await client.news(undefined, 0)
  const { next } = await client.news(first.next, 0)
  await inbox.advance(next, [])
  log.info({}, 'listening to Matrix from now on')
  return next
}

async function dealWith(deps: ListenDeps, { roomId, events, gapBefore }: RoomNews, since: string, signal: AbortSignal): Promise<string[]> {
  const missed = gapBefore === undefined ? [] : await readGap(deps, roomId, gapBefore, since)
  // Most is not said to us.
  const ours = [...missed, ...events].filter((event) => readEvent(event, deps.botId) !== undefined)
  const known = await deps.inbox.handled(ours.map(({ event_id }) => event_id))
  for (const event of ours) {
    if (signal.aborted) break
    if (!known.has(event.event_id)) await handleEvent(deps, roomId, event).catch(unlessTooOften(deps, roomId, event.event_id, signal))
  }
  return ours.map(({ event_id }) => event_id)
}

/** An event with which this fails again and again is left alone: it must not silence everybody. */
const unlessTooOften = ({ patience, inbox, log }: ListenDeps, room: string, event: string, signal: AbortSignal) => async (error: unknown): Promise<void> => {
  if (signal.aborted || !patience.isOver(event)) throw error
  await inbox.settle(event, undefined)
  log.error({ err: error, room, event }, 'what somebody said in Matrix could not be dealt with, and is left alone')
}

/** A window shows the newest only: what lies between it and where we stand is read page by page. @returns oldest first */
async function readGap({ client, log }: ListenDeps, roomId: string, from: string, downTo: string): Promise<RoomEvent[]> {
  const missed: RoomEvent[] = []
  let next: string | undefined = from
  while (next !== undefined && missed.length < MAX_MISSED) {
    const page: Awaited<ReturnType<InboxClient['earlier']>> = await client.earlier(roomId, next, downTo)
    missed.push(...page.events)
    next = page.events.length === 0 || page.next === downTo ? undefined : page.next
  }
  if (next !== undefined) log.warn({ room: roomId, read: missed.length }, 'more was said in a room than is read after a pause; the oldest of it was left unread')
  return missed.toReversed()
}

/** A homeserver that was set up anew does not know where we stood. */
const ifLost = (log: Log) => (error: unknown): undefined => {
  if (!(error instanceof MatrixError) || error.status !== 400) throw error
  log.warn({ reason: error.message }, 'the homeserver does not know how far it was read; listening from now on')
  return undefined
}
