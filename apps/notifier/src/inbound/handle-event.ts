import { createHash } from 'node:crypto'

import { type Log, type MatrixAuthority, matrixRoleOf } from '@longshore/contracts'
import type { AuditEntry } from '@longshore/ledger'
import type { RoomEvent } from '../matrix/client.ts'
import { MatrixError } from '../matrix/matrix-error.ts'
import { renderLines, text } from '../render/lines.ts'
import { cleanLine } from '../render/safe-text.ts'
import { type Answer, type Ground, Refusal, type Wish } from './deed.ts'
import { type Deed, may, ruleOf, type Standing } from './deeds.ts'
import { doDeed } from './do-deed.ts'
import type { Inbox } from './inbox.ts'
import type { InboxClient } from './inbox-client.ts'
import { help, NO_ROLE } from './look.ts'
import type { PaceOfPeople } from './pace-of-people.ts'
import { readEvent, type Said } from './read-event.ts'
import type { Say } from './say.ts'
import { findTarget, type Target } from './target.ts'
import { readKey } from './answer.ts'

export type Result = AuditEntry['result'] | 'limited' | 'unknown'

export interface HandleDeps {
  client: Pick<InboxClient, 'event'>
  inbox: Pick<Inbox, 'settle'>
  ground: Ground
  authority: MatrixAuthority
  botId: string
  pace: PaceOfPeople
  say: Say
  log: Log
  onDeed: (deed: Deed | 'unknown', result: Result) => void
}

/** One thing that somebody said, with all that judging it needs. */
interface Case { roomId: string; said: Said; standing: Standing; wish: Wish; deed: Deed; way: ReturnType<typeof readKey>; target: Target | undefined }
interface Verdict { result: AuditEntry['result']; answer: Answer }

/**
 * Deals with one event of a room: does what it asks for if its sender may, says so in the room, and writes it down. Whatever dies in between,
 * all of it may be done again: the deed and its answer are named by the event, so that both happen once.
 * @throws what Redis or the homeserver threw: nothing is settled then
 */
export async function handleEvent(deps: HandleDeps, roomId: string, event: RoomEvent): Promise<void> {
  const said = readEvent(event, deps.botId)
  if (said === undefined) return
  const one = await caseOf(deps, roomId, said)
  if (one === undefined) return
  const pace = deps.pace.take(said.sender)
  if (pace !== 'go') return slowDown(deps, one, pace === 'first')
  if (said.kind === 'unknown') return hint(deps, one, said.word)
  const { result, answer } = await judge(deps, one)
  await tell(deps, one, answer)
  await deps.inbox.settle(said.eventId, entryOf(one, result, answer))
  deps.onDeed(one.deed, result)
  deps.log.info({ by: one.wish.by, role: one.standing.here, deed: one.deed, task_id: one.target?.taskId, result, room: roomId, event: said.eventId }, 'somebody asked for something from Matrix')
}

/** Undefined: nobody asks us for anything. What people say to each other is not ours to answer. */
async function caseOf({ client, botId, authority }: HandleDeps, roomId: string, said: Said): Promise<Case | undefined> {
  const standing = { here: matrixRoleOf(authority, roomId, said.sender), everywhere: matrixRoleOf(authority, '', said.sender) }
  const way = said.kind === 'reaction' ? readKey(said.key) : undefined
  const deed: Deed = said.kind === 'deed' ? said.deed : said.kind === 'reaction' ? 'react' : 'help'
  const words = said.kind === 'deed' ? said.words : (way?.words ?? '')
  const wish = { id: createHash('sha256').update(JSON.stringify([roomId, said.eventId])).digest('hex').slice(0, 32), by: `matrix:${said.sender}`, words }
  const one = { roomId, said, standing, wish, deed, way, target: undefined }
  if (said.kind === 'unknown') return standing.here === undefined ? undefined : one
  if (deed === 'chat' && (words === '' || !may(standing, deed))) return undefined
  if (said.kind === 'reaction' && way === undefined) return undefined
  const isSilent = deed === 'chat' || deed === 'react'
  if (!isSilent && !may(standing, deed)) return one
  const target = ruleOf(deed).where === 'task' ? await findTarget(client, botId, roomId, said.relation) : undefined
  if (deed === 'chat' && target === undefined) return undefined
  if (deed === 'react' && target?.inputId === undefined) return undefined
  return { ...one, target }
}

async function judge({ ground, log }: HandleDeps, one: Case): Promise<Verdict> {
  const { deed, standing, target, wish, way } = one
  try {
    if (!may(standing, deed)) throw new Refusal(refusalOf(deed, standing))
    if (deed === 'help') return { result: 'done', answer: help(standing) }
    return { result: 'done', answer: await doDeed(ground, { deed, way, wish, target }) }
  } catch (error) {
    if (error instanceof Refusal) return { result: 'refused', answer: [text(error.message)] }
    if (!isDefect(error)) throw error
    log.error({ err: error, deed, by: wish.by }, 'what somebody asked for from Matrix failed')
    return { result: 'failed', answer: [text('That went wrong, and it is a defect of Longshore. Its log says more.')] }
  }
}

/** What a second try would fail with, too. Redis and the homeserver being away pass. */
function isDefect(error: unknown): boolean {
  return !(error instanceof MatrixError) && (error instanceof TypeError || (error instanceof Error && (error.name === 'ZodError' || error.name === 'SyntaxError')))
}

function refusalOf(deed: Deed, { here }: Standing): string {
  if (here === undefined) return NO_ROLE
  const { usage, role, reaches } = ruleOf(deed)
  if (reaches === 'deployment' && here !== 'viewer') return `${usage} changes the whole deployment: it takes the role ${role} everywhere, or admin here; you are ${here} in this room. !help shows what you may do.`
  return `${usage} takes the role ${role}; you are ${here} here. !help shows what you may do.`
}

async function slowDown(deps: HandleDeps, one: Case, isFirst: boolean): Promise<void> {
  // First of all: a successor, which counts from nothing, would do what was said not to be done.
  await deps.inbox.settle(one.said.eventId, undefined)
  deps.onDeed(one.said.kind === 'unknown' ? 'unknown' : one.deed, 'limited')
  if (!isFirst) return
  deps.log.warn({ by: one.wish.by, room: one.roomId }, 'somebody asks for more from Matrix than one person may; the rest is ignored')
  await tell(deps, one, [text('Too fast: this was not done, nor is what follows at once. Wait some seconds.')])
}

async function hint(deps: HandleDeps, one: Case, word: string): Promise<void> {
  await tell(deps, one, [text(`There is no !${cleanLine(word, 31)}. !help shows what there is.`)])
  deps.onDeed('unknown', 'unknown')
}

async function tell({ say }: HandleDeps, { roomId, said, target, wish }: Case, answer: Answer): Promise<void> {
  const replyTo = said.kind === 'reaction' ? (said.relation.replyTo ?? said.eventId) : said.eventId
  const root = target?.thread ?? said.relation.thread
  await say({ id: wish.id, room: roomId, reply_to: replyTo, ...(root === undefined ? {} : { thread_root: root }), ...renderLines(answer) })
}

const MAX_AUDITED_CHARACTERS = 300

function entryOf({ roomId, said, standing, wish, deed, target }: Case, result: AuditEntry['result'], answer: Answer): Omit<AuditEntry, 'at'> {
  const words = cleanLine(wish.words, MAX_AUDITED_CHARACTERS)
  return {
    v: 1, by: wish.by, deed, result, room_id: roomId, event_id: said.eventId, answer: cleanLine(answer.map((line) => line.text).join(' '), MAX_AUDITED_CHARACTERS),
    ...(standing.here === undefined ? {} : { role: standing.here }), ...(words === '' ? {} : { words }), ...(target === undefined ? {} : { task_id: target.taskId }),
  }
}
