import { hash } from 'node:crypto'
import { z } from 'zod'

import { AgentId, EventId, InputId, Observer, TaskId, TaskState } from '@longshore/contracts'
import type { LineName } from '@longshore/outbox'

/**
 * `card`: a task's living status, the latest wins. `completion`: an ending, said once. `question`: what an agent wants to know, later its answer.
 * `detail`: a turn of events. `file`: what an ended task left. `event`: a fact for programs. `reply`: an answer to somebody's command.
 */
export const NoticeKind = z.enum(['card', 'completion', 'question', 'detail', 'file', 'event', 'reply'])
export type NoticeKind = z.infer<typeof NoticeKind>

/** What is to be told because of an event, ready to show in any sink. */
export const Notice = z.object({
  v: z.literal(1),
  kind: NoticeKind.exclude(['reply']),
  task_id: TaskId,
  /** Whose task it is; absent in what an older version drafted. */
  agent_id: AgentId.optional(),
  /** The event that it tells of; with the kind it names the fact (G8). */
  event_id: EventId,
  seq: z.int().positive(),
  status: TaskState,
  /** Of a question: which. */
  input_id: InputId.optional(),
  /** Of a file: which of what is kept. */
  file: z.enum(['diff', 'output']).optional(),
  title: z.string().optional(),
  plain: z.string(),
  html: z.string(),
  /** Were observers once and are none any more. */
  left: z.array(Observer).optional(),
  /** Who is to see it: pinged by a completion and a question, brought into the room by a card. */
  observers: z.array(Observer),
  /** Which of the sink's receivers, where it has several. */
  to: z.string().optional(),
  /** What a block in an agent's memory is to hold. */
  block: z.string().optional(),
})
export type Notice = z.infer<typeof Notice>

/** An answer to what somebody said in a room: it shares lanes and exactly-once sending with notices. */
export const Reply = z.object({
  v: z.literal(1),
  kind: z.literal('reply'),
  /** The caller's, made of what it answers: the same id is said once. */
  id: z.string().regex(/^[A-Za-z0-9._:$-]{1,200}$/, '1 to 200 of A-Z a-z 0-9 . _ : $ -'),
  room: z.string(),
  /** Event id of what it answers. */
  reply_to: z.string(),
  /** Event id of the thread's root; without it the answer stands in the room itself. */
  thread_root: z.string().optional(),
  plain: z.string(),
  html: z.string(),
})
export type Reply = z.infer<typeof Reply>

/** Whatever an outbox holds. */
export const Letter = z.union([Notice, Reply])
export type Letter = z.infer<typeof Letter>

/** The outbox's name of an entry: one per task for cards and one per question, so that a newer one replaces it; one per fact else. */
export function letterId(letter: Letter): string {
  switch (letter.kind) {
    case 'reply': return `reply:${letter.id}`
    case 'card': return `card:${letter.task_id}`
    case 'question': return `question:${letter.task_id}:${letter.input_id ?? letter.event_id}`
    case 'file': return `file:${letter.task_id}:${letter.event_id}:${letter.file ?? ''}`
    // People see these names; in an address may stand a secret.
    case 'event': return `event:${letter.task_id}:${letter.event_id}:${hash('sha256', letter.to ?? '', 'base64url').slice(0, 16)}`
    case 'completion': case 'detail': return `${letter.kind}:${letter.task_id}:${letter.event_id}`
  }
}

const LINE_OF: Readonly<Record<NoticeKind, LineName>> = { completion: 'top', question: 'top', event: 'top', reply: 'reply', card: 'card', detail: 'detail', file: 'later' }
/** In which line of its lane it waits at first. */
export const lineOf = ({ kind }: Pick<Letter, 'kind'>): LineName => LINE_OF[kind]

/** Where the receipt of its first post stands, for what is edited later; undefined: it never is. */
export function receiptKey(letter: Letter): string | undefined {
  if (letter.kind === 'card') return `root:${letter.task_id}`
  return letter.kind === 'question' ? `posted:${letterId(letter)}` : undefined
}
