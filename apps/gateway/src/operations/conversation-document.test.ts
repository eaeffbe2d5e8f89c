import { type Cursor, parseEvent, type Task, taskIdFrom } from '@longshore/contracts'
import { expect, test } from 'vitest'

import { documentOf, messagesIn } from './conversation-document.ts'
import type { Ports } from './operation.ts'

const id = taskIdFrom(new Uint8Array(52))
const TASK: Task = {
  id, v: 1, agent_id: 'a', prompt: 'p', title: 't', mode: 'docker', profile: 'opencode', timeout_ms: 1_000, max_attempts: 1, observers: [], state: 'completed', claim: 1, attempt: 1, ticket: 1, created_at: 0, ended_at: 1, seq: 100, last_event_id: '',
}
const said = (seq: number, text: string) => parseEvent({ v: 1, id: '01HZZZZZZZZZZZZZZZZZZZZZZZ', task_id: id, seq, at: 0, type: 'task.output', payload: { text, stream: 'agent' } })

/** A log of a hundred events of which the first were trimmed, and to which another is appended meanwhile. */
function logOf(text: string, trimmed = 0): Pick<Ports['ledger'], 'read'> {
  const read = async (_: unknown, after: Cursor, limit: number) => {
    if (after.seq < trimmed) return { kind: 'cursor_reset' as const, earliest: { seq: trimmed, id: '' }, total: 101 }
    const events = Array.from({ length: Math.min(limit, 101 - after.seq) }, (_each, i) => said(after.seq + i + 1, text))
    return { kind: 'events' as const, events, cursor: { seq: after.seq + events.length, id: '' }, total: 101 }
  }
  return { read }
}

async function written(ledger: Pick<Ports['ledger'], 'read'>, maxBytes?: number) {
  const { content, count } = documentOf(ledger, TASK, { by: 'ann', summary: undefined, now: 0 }, maxBytes)
  const pieces: Uint8Array[] = []
  for await (const piece of content) pieces.push(piece)
  const text = Buffer.concat(pieces).toString()
  return { text, count: count(), document: JSON.parse(text) as { messages: { seq?: number }[] } }
}

async function* inPieces(text: string): AsyncGenerator<Uint8Array> {
  const bytes = Buffer.from(text)
  for (let i = 0; i < bytes.length; i += 7) yield bytes.subarray(i, i + 7)
}

test('a document is what the log was when it was begun, from the first event that is kept', async () => {
  expect((await written(logOf('x'))).document.messages.map(({ seq }) => seq)).toEqual([undefined, ...Array.from({ length: 100 }, (_, i) => i + 1)])
  expect((await written(logOf('x', 90))).document.messages.map(({ seq }) => seq)).toEqual([undefined, ...Array.from({ length: 10 }, (_, i) => i + 91)])
})

test('one that grows too long is cut at a message, and says so', async () => {
  const { text, count, document } = await written(logOf('é'.repeat(100)), 5_000)
  expect(document).toMatchObject({ truncated: true, message_count: count })
  expect(Buffer.byteLength(text)).toBeLessThan(7_000)
  expect([count, document.messages.length]).toEqual([count, count])
  expect(count).toBeGreaterThan(5)
})

test('its messages are read in parts whose size is bounded, however the bytes come', async () => {
  const { text } = await written(logOf('né,\n],'))
  expect((await messagesIn(inPieces(text), 99, 10, 10_000)).map(({ seq }) => seq)).toEqual([99, 100])
  expect((await messagesIn(inPieces(text), 0, 10, 10_000)).map(({ text: each }) => each)).toEqual(['p', ...Array.from({ length: 9 }, () => 'né,\n],')])
  expect(await messagesIn(inPieces(text), 0, 10, 1)).toHaveLength(1)
  expect(await messagesIn(inPieces(text), 200, 10, 10_000)).toEqual([])
})
