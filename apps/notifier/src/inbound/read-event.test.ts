import { expect, test } from 'vitest'

import type { RoomEvent } from '../matrix/client.ts'
import { parseWords, readEvent } from './read-event.ts'

const BOT = '@longshore:example.org'
const event = (content: Record<string, unknown>, more: Partial<RoomEvent> = {}): RoomEvent =>
  ({ event_id: '$e', sender: '@ann:example.org', type: 'm.room.message', origin_server_ts: 1, content: { msgtype: 'm.text', ...content }, ...more })
const read = (content: Record<string, unknown>, more: Partial<RoomEvent> = {}) => readEvent(event(content, more), BOT)

test.each([
  ['!cancel', { kind: 'deed', deed: 'cancel', words: '' }],
  ['  !Cancel  it is wrong \n really ', { kind: 'deed', deed: 'cancel', words: 'it is wrong \n really' }],
  ['!say\nfirst line', { kind: 'deed', deed: 'say', words: 'first line' }],
  ['!rollout', { kind: 'deed', deed: 'rollout', words: '' }],
  ['!rollout set 20', { kind: 'deed', deed: 'rollout set', words: 'set 20' }],
  ['!weather', { kind: 'unknown', word: 'weather' }],
  ['!constructor', { kind: 'unknown', word: 'constructor' }],
  ['!react', { kind: 'unknown', word: 'react' }],
  ['!chat', { kind: 'unknown', word: 'chat' }],
  ['!!! stop it', { kind: 'deed', deed: 'chat', words: '!!! stop it' }],
  ['do !cancel it', { kind: 'deed', deed: 'chat', words: 'do !cancel it' }],
  ['/cancel', { kind: 'deed', deed: 'chat', words: '/cancel' }],
])('%j is read as such', (body, expected) => {
  expect(parseWords(body)).toEqual(expected)
})

test('hostile text is data: control characters, bidi overrides and half characters are gone, HTML and @room are words, and length is no trouble', () => {
  expect(parseWords('!say \u001B[31mred\u0000 \u202Egnp.exe\u2066 <img src=x onerror=alert(1)> @room \uD800!')).toEqual({ kind: 'deed', deed: 'say', words: 'red gnp.exe <img src=x onerror=alert(1)> @room \uFFFD!' })
  const long = parseWords(`!say ${'<'.repeat(65_000)}`)
  expect(long).toMatchObject({ deed: 'say', words: '<'.repeat(65_000) })
  expect(parseWords(`!${'a'.repeat(65_000)}`)).toMatchObject({ deed: 'chat' })
})

test('L-22: own posts, notices, edits, states, encrypted events, redactions and what is broken ask for nothing', () => {
  const silent = [
    read({ body: '!cancel' }, { sender: BOT }), read({ body: '!cancel', msgtype: 'm.notice' }), read({ body: '!cancel', 'm.relates_to': { rel_type: 'm.replace', event_id: '$x' } }),
    read({ body: '!cancel' }, { state_key: '' }), read({}, { type: 'm.room.encrypted' }), read({}, { type: 'm.room.redaction' }), read({}), read({ body: 7 }), read({ body: '!cancel' }, { sender: 'nobody' }),
    read({ 'm.relates_to': { rel_type: 'm.annotation', event_id: '$x' } }, { type: 'm.reaction' }), read({ 'm.relates_to': 'x' }, { type: 'm.reaction' }), read({}, { type: 'm.room.member' }),
  ]
  expect(silent).toEqual(silent.map(() => undefined))
})

test.each([`$${'x'.repeat(40_000)}`, '$a\u0000b', '$\uD800', '$', 'none', '$a b'])('G14: nobody is asked for an event of which no homeserver can have the id (case %#)', (target) => {
  expect(read({ 'm.relates_to': { rel_type: 'm.annotation', event_id: target, key: '✅' } }, { type: 'm.reaction' })).toBeUndefined()
  expect(read({ body: 'x', 'm.relates_to': { rel_type: 'm.thread', event_id: target } })).toMatchObject({ relation: { thread: undefined, replyTo: undefined } })
  expect(read({ body: 'x', 'm.relates_to': { 'm.in_reply_to': { event_id: target } } })).toMatchObject({ relation: { thread: undefined, replyTo: undefined } })
})

test('what an older client quotes before its reply is not what is said', () => {
  const relates = { 'm.in_reply_to': { event_id: '$card' } }
  expect(read({ body: '> <@bot:x> Running\n> still\n\n!status', 'm.relates_to': relates })).toMatchObject({ deed: 'status', relation: { replyTo: '$card', thread: undefined } })
  expect(read({ body: '> <@bot:x> !cancel' })).toMatchObject({ deed: 'chat' })
})

test('a thread\'s last message is not what is answered, unless the client says so', () => {
  const thread = { rel_type: 'm.thread', event_id: '$root', 'm.in_reply_to': { event_id: '$last' } }
  expect(read({ body: 'x', 'm.relates_to': { ...thread, is_falling_back: true } })).toMatchObject({ relation: { thread: '$root', replyTo: undefined } })
  expect(read({ body: 'x', 'm.relates_to': { ...thread, is_falling_back: false } })).toMatchObject({ relation: { thread: '$root', replyTo: '$last' } })
})
