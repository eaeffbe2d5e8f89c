import { createHash } from 'node:crypto'

import type { Notice } from '../notice.ts'

/** Our own field in each message: what it is about, for programs. */
export const TASK_FIELD = 'dev.longshore.task'

/** G8: the same fact, sender and room give the same id, whoever sends it and however often. */
export function txnOf(sender: string, room: string, notice: Pick<Notice, 'task_id' | 'event_id' | 'kind'>, variant = ''): string {
  const fact = JSON.stringify([sender, room, notice.task_id, notice.event_id, notice.kind + variant])
  return `t${createHash('sha256').update(fact).digest('base64url').slice(0, 31)}`
}

/**
 * A notice as the content of `m.room.message`: a card's first post is the thread's root, later ones edit it in place;
 * a completion stands in its thread and pings the observers. Nothing else pings: `m.mentions` is always set.
 * @param rootId event id of the card's first post
 */
export function messageOf(notice: Notice, rootId: string | undefined): Record<string, unknown> {
  const message = {
    msgtype: notice.kind === 'card' ? 'm.notice' : 'm.text',
    body: notice.plain,
    format: 'org.matrix.custom.html',
    formatted_body: notice.html,
    'm.mentions': notice.kind === 'completion' && notice.observers.length > 0 ? { user_ids: notice.observers } : {},
    [TASK_FIELD]: fieldOf(notice),
  }
  if (rootId === undefined) return message
  if (notice.kind === 'card') {
    return { ...message, body: `* ${notice.plain}`, 'm.new_content': message, 'm.relates_to': { rel_type: 'm.replace', event_id: rootId } }
  }
  return { ...message, 'm.relates_to': threadUnder(rootId) }
}

/** For a homeserver that refuses the full body: the bare fact, in the same place. */
export function bareMessageOf(notice: Notice, relatesTo: unknown): Record<string, unknown> {
  const bare = {
    msgtype: notice.kind === 'card' ? 'm.notice' : 'm.text',
    body: `${notice.task_id}: ${notice.status}`,
    'm.mentions': {},
    [TASK_FIELD]: fieldOf(notice),
  }
  if (relatesTo === undefined) return bare
  return { ...bare, ...(notice.kind === 'card' ? { 'm.new_content': bare } : {}), 'm.relates_to': relatesTo }
}

function threadUnder(rootId: string): object {
  return { rel_type: 'm.thread', event_id: rootId, is_falling_back: true, 'm.in_reply_to': { event_id: rootId } }
}

function fieldOf(notice: Notice): object {
  return { v: 1, task_id: notice.task_id, kind: notice.kind, status: notice.status, seq: notice.seq }
}
