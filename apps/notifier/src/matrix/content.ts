import { createHash } from 'node:crypto'

import { type Letter, type Notice, receiptKey, type Reply } from '../notice.ts'

/** Our own field in each message: what it is about, for programs. */
export const TASK_FIELD = 'dev.longshore.task'
/** The same in replies: their id. */
export const REPLY_FIELD = 'dev.longshore.reply'

/** G8: the same fact, sender and room give the same id, whoever sends it and however often. Of what is told again and again each version is a fact. */
export function txnOf(sender: string, room: string, letter: Letter, variant = ''): string {
  const fact = letter.kind === 'reply' ? ['reply', letter.id] : [letter.task_id, letter.event_id, letter.kind, letter.input_id ?? letter.file ?? '', ...(receiptKey(letter) === undefined ? [] : [letter.html])]
  return `t${createHash('sha256').update(JSON.stringify([sender, room, ...fact, variant])).digest('base64url').slice(0, 31)}`
}

/** Where a notice belongs: event ids in its room. */
export interface Where { root: string | undefined; posted: string | undefined; /** Whom an open question pings besides the observers. */ answerers?: readonly string[] }

/**
 * A notice as the content of `m.room.message`: a card's first post is the thread's root; what was posted before is edited in place; all else
 * stands in the thread. Endings and open questions ping the observers, and nothing else pings anybody: `m.mentions` is always set.
 */
export function messageOf(notice: Notice, { root, posted, answerers = [] }: Where): Record<string, unknown> {
  const message = {
    msgtype: msgtypeOf(notice),
    body: notice.plain,
    format: 'org.matrix.custom.html',
    formatted_body: notice.html,
    'm.mentions': mentions(isPing(notice) ? [...notice.observers, ...(notice.kind === 'question' ? answerers : [])] : []),
    [TASK_FIELD]: fieldOf(notice),
  }
  // An edit pings nobody, whoever it names.
  if (posted !== undefined) return { ...message, body: `* ${notice.plain}`, 'm.mentions': {}, 'm.new_content': message, 'm.relates_to': { rel_type: 'm.replace', event_id: posted } }
  return root === undefined ? message : { ...message, 'm.relates_to': threadUnder(root, root) }
}

/** An answer to what somebody said: beside it, in its thread where there is one. It pings nobody: who asked is there. */
export function replyOf(reply: Reply): Record<string, unknown> {
  const { reply_to: to, thread_root: root } = reply
  return {
    msgtype: 'm.notice',
    body: reply.plain,
    format: 'org.matrix.custom.html',
    formatted_body: reply.html,
    'm.mentions': {},
    [REPLY_FIELD]: { v: 1, id: reply.id },
    'm.relates_to': root === undefined ? { 'm.in_reply_to': { event_id: to } } : { ...threadUnder(root, to), is_falling_back: false },
  }
}

/** For a homeserver that refuses the full body: the bare fact, in the same place. */
export function bareMessageOf(letter: Letter, relatesTo: unknown): Record<string, unknown> {
  const bare = letter.kind === 'reply'
    ? { msgtype: 'm.notice', body: 'Done; the full answer was refused by the homeserver.', 'm.mentions': {}, [REPLY_FIELD]: { v: 1, id: letter.id } }
    : { msgtype: msgtypeOf(letter), body: `${letter.task_id}: ${letter.status}`, 'm.mentions': {}, [TASK_FIELD]: fieldOf(letter) }
  if (relatesTo === undefined) return bare
  const isEdit = (relatesTo as { rel_type?: unknown }).rel_type === 'm.replace'
  return { ...bare, ...(isEdit ? { 'm.new_content': bare } : {}), 'm.relates_to': relatesTo }
}

/** Whether a message that stands in a room is this letter, posted in the same form. */
export function isSame(content: Record<string, unknown>, letter: Letter, sent: Record<string, unknown>): boolean {
  if ('m.new_content' in content !== 'm.new_content' in sent) return false
  const field = letter.kind === 'reply' ? content[REPLY_FIELD] : content[TASK_FIELD]
  const ours = letter.kind === 'reply' ? { v: 1, id: letter.id } : fieldOf(letter)
  return typeof field === 'object' && field !== null && Object.entries(ours).every(([key, value]) => (field as Record<string, unknown>)[key] === value)
}

const mentions = (people: readonly string[]): object => (people.length === 0 ? {} : { user_ids: [...new Set(people)] })
const isPing = ({ kind, status }: Notice): boolean => kind === 'completion' || (kind === 'question' && status === 'input_required')
const msgtypeOf = ({ kind }: Notice): string => (kind === 'completion' || kind === 'question' ? 'm.text' : 'm.notice')

function threadUnder(root: string, replyTo: string): object {
  return { rel_type: 'm.thread', event_id: root, is_falling_back: true, 'm.in_reply_to': { event_id: replyTo } }
}

export function fieldOf({ task_id, kind, status, seq, input_id, file }: Notice): object {
  return { v: 1, task_id, kind, status, seq, ...(input_id === undefined ? {} : { input_id }), ...(file === undefined ? {} : { file }) }
}
