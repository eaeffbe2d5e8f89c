import type { Clock, Log } from '@longshore/contracts'
import { draftNotices } from '../draft-notices.ts'
import type { KeptFiles } from '../kept-files.ts'
import type { Letter } from '../notice.ts'
import type { Frozen } from '../outbox/frozen.ts'
import type { Outcome, Sink } from '../sink.ts'
import { attach } from './attachment.ts'
import type { MatrixClient } from './client.ts'
import { messageOf, replyOf, txnOf } from './content.ts'
import { MatrixError, troubleOf } from './matrix-error.ts'
import { createPeople } from './people.ts'
import { createPlaces } from './places.ts'
import { findSent, post } from './post.ts'
import { RoomUnusable } from './room.ts'
import { isPrivateTo, laneOf, type RoomPlan } from './room-plan.ts'

export interface MatrixSinkDeps {
  client: MatrixClient
  plan: RoomPlan
  /** What ended tasks left, for attachments; undefined: this notifier does not see it. */
  files: KeptFiles | undefined
  log: Log
  now: Clock
}

/** A homeserver remembers transaction ids for 24 h; from here on we look before we send again. */
const TXN_TRUSTED_MS = 20 * 60 * 60_000
/** More at once do not make a homeserver faster. */
const LANES_AT_ONCE = 8

/** Posts what tasks do into rooms, each fact exactly once (G8). */
export function createMatrixSink({ client, plan, files, log, now }: MatrixSinkDeps): Sink {
  const people = createPeople(client, plan.botId, log)
  const places = createPlaces({ client, plan, people, log, now })
  const answerers = plan.answerers.length > 0 ? plan.answerers : plan.observers
  const laneFor = (letter: Letter) => laneOf(letter, plan)
  return {
    name: 'matrix',
    lanesAtOnce: LANES_AT_ONCE,
    draft: (task, view, events) => draftNotices(task, view, events, { attaches: files !== undefined }),
    laneOf: laneFor,
    // A homeserver counts what a user sends, in whichever room.
    accountOf: () => 'bot',
    open: async (lane, letter) => {
      try {
        await places.open(lane, letter.kind === 'reply' ? undefined : letter.title, observersOf(letter, lane))
        return { kind: 'sent' }
      } catch (error) {
        places.forget(lane)
        return blockedBy(error)
      }
    },
    freeze: (letter, receipts) => {
      const room = places.room(laneFor(letter))
      const content = letter.kind === 'reply' ? replyOf(letter) : messageOf(letter, { root: eventIn(room, receipts.root), posted: eventIn(room, receipts.posted), answerers })
      return { v: 1, notice: letter, txn: txnOf(plan.botId, room, letter), place: room, account: places.account(), content, frozen_at: now() }
    },
    send: async (frozen, isRetry) => {
      const lane = laneFor(frozen.notice)
      try {
        const isForgotten = isRetry && (now() - frozen.frozen_at > TXN_TRUSTED_MS || frozen.account !== places.account())
        const { notice: letter } = frozen
        const attachment = letter.kind === 'file' ? await attach(client, files, frozen, letter, now) : { content: frozen.content }
        if ('outcome' in attachment) return attachment.outcome
        const eventId = (isForgotten ? await findSent(client, plan.botId, frozen) : undefined) ?? await post(client, plan.botId, { ...frozen, content: attachment.content }, log)
        if (frozen.notice.kind === 'card' && isPrivateTo(lane)) void bringIn(frozen, lane)
        // An edit's own id is nobody's root: an edit of an edit is ignored.
        return 'm.new_content' in frozen.content ? { kind: 'sent' } : { kind: 'sent', receipt: `${frozen.place} ${eventId}` }
      } catch (error) {
        return judge(error, () => places.forget(lane))
      }
    },
  }

  async function bringIn({ notice, place }: Frozen, lane: string): Promise<void> {
    if (notice.kind === 'reply') return
    await people.invite(place, notice.observers)
    // Others of the agent's tasks may still be theirs to see.
    if (lane.startsWith('task:')) await people.remove(place, (notice.left ?? []).filter((one) => !plan.observers.includes(one) && !notice.observers.includes(one)))
  }
}

/** G11: where a room shows other agents' tasks, only the operator says who comes in: any agent's key may name observers. */
const observersOf = (letter: Letter, lane: string): readonly string[] => (letter.kind !== 'reply' && isPrivateTo(lane) ? letter.observers : [])

/** A receipt is `<room> <event>`; what stands in another room is no root here. */
function eventIn(roomId: string, receipt: string | undefined): string | undefined {
  const [room, eventId] = receipt?.split(' ') ?? []
  return room === roomId ? eventId : undefined
}

function blockedBy(error: unknown): Outcome {
  if (error instanceof RoomUnusable) return { kind: 'blocked', reason: error.message }
  const trouble = troubleOf(error)
  return trouble.kind === 'refused' ? { kind: 'blocked', reason: trouble.reason } : trouble
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
