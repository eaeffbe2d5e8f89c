import { Observer } from '@longshore/contracts'
import { z } from 'zod'
import { cleanText } from '../render/safe-text.ts'
import type { RoomEvent } from '../matrix/client.ts'
import { type Deed, DEEDS } from './deeds.ts'

/** Where in a room something was said: which event it answers, in which thread. */
export interface Relation { replyTo: string | undefined; thread: string | undefined }

/** What somebody said that may concern us. */
export type Said = { eventId: string; sender: string; relation: Relation } & (
  | { kind: 'deed'; deed: Exclude<Deed, 'react'>; words: string }
  | { kind: 'unknown'; word: string }
  /** `key`: the emoji. */
  | { kind: 'reaction'; key: string }
)

/** Anything else can be an event's id nowhere: asked for it, a homeserver may have an error for ever or no answer, and nobody would be heard any more (G14). */
const MatrixEventId = z.string().regex(/^\$[\x21-\x7e]{1,254}$/)
const Relates = z.object({
  rel_type: z.string().optional().catch(undefined), event_id: MatrixEventId.optional().catch(undefined), key: z.string().optional().catch(undefined),
  is_falling_back: z.boolean().optional().catch(undefined), 'm.in_reply_to': z.object({ event_id: MatrixEventId }).optional().catch(undefined),
}).catch({})
const Content = z.object({ msgtype: z.string(), body: z.string() })

/**
 * What an event asks of us; undefined for all that we do not listen to: our own posts (L-22), notices, which programs write, edits,
 * redactions, what is encrypted.
 */
export function readEvent({ event_id: eventId, sender, type, content, state_key }: RoomEvent, botId: string): Said | undefined {
  if (sender === botId || state_key !== undefined || !Observer.safeParse(sender).success) return undefined
  const relates = Relates.parse(content['m.relates_to'])
  if (type === 'm.reaction') {
    const { rel_type, event_id: target, key } = relates
    return rel_type === 'm.annotation' && target !== undefined && key !== undefined ? { eventId, sender, relation: { replyTo: target, thread: undefined }, kind: 'reaction', key } : undefined
  }
  const message = Content.safeParse(content)
  if (type !== 'm.room.message' || !message.success || message.data.msgtype !== 'm.text' || relates.rel_type === 'm.replace') return undefined
  const relation = relationOf(relates)
  return { eventId, sender, relation, ...parseWords(relation.replyTo === undefined ? message.data.body : withoutQuote(message.data.body)) }
}

/** In a thread a client names the last message as answered, for clients that know no threads: that is no answer to it. */
export function relationOf(raw: unknown): Relation {
  const { rel_type, event_id: root, is_falling_back, 'm.in_reply_to': reply } = Relates.parse(raw)
  const thread = rel_type === 'm.thread' ? root : undefined
  return { thread, replyTo: thread !== undefined && is_falling_back === true ? undefined : reply?.event_id }
}

/** Older clients put what they answer before the words, line by line behind `> `. */
function withoutQuote(body: string): string {
  const [quote = ''] = /^(?:> ?[^\n]*\n)+\n?/.exec(body) ?? []
  return body.slice(quote.length)
}

const isDeed = (word: string): word is Exclude<Deed, 'react' | 'chat' | 'rollout set'> => Object.hasOwn(DEEDS, word) && word !== 'react' && word !== 'chat' && word !== 'rollout set'

/** `!word words`, else words for the agent. Everything is data: cleaned of what could forge the looks of a text (G14). */
export function parseWords(body: string): { kind: 'deed'; deed: Exclude<Deed, 'react'>; words: string } | { kind: 'unknown'; word: string } {
  const text = cleanText(body).trim()
  const [, name, rest = ''] = /^!([a-z][a-z_-]{0,30})(?:\s+([^]*))?$/i.exec(text) ?? []
  if (name === undefined) return { kind: 'deed', deed: 'chat', words: text }
  const word = name.toLowerCase()
  if (!isDeed(word)) return { kind: 'unknown', word }
  const words = rest.trim()
  return word === 'rollout' && words !== '' ? { kind: 'deed', deed: 'rollout set', words } : { kind: 'deed', deed: word, words }
}
