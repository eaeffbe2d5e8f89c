import { randomBytes } from 'node:crypto'
import { request } from 'node:http'

import { type Log, NewTask, SILENT, taskIdFrom } from '@longshore/contracts'
import { waitFor } from '@longshore/testkit'
import { createParser, type EventSourceMessage } from 'eventsource-parser'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { type GatewayFixture, startGatewayFixture } from '../gateway-fixture.ts'
import { readEvents } from './event-reader.ts'

const EVENTS = 600
const TEXT = 'x'.repeat(12_000)

let fixture: GatewayFixture
/** What the gateway says when it cuts a reader off. */
const cut: object[] = []
const log: Log = { ...SILENT, info: (fields, message) => { if (message.startsWith('a reader')) cut.push(fields) } }
let url: string

beforeAll(async () => {
  fixture = await startGatewayFixture({ EVENTS_STALL_MS: '3000' }, undefined, log)
  const { task } = await fixture.ledger.submit(NewTask.parse({ id: taskIdFrom(randomBytes(52)), agent_id: 'agent-alice', prompt: 'x', title: 'x', mode: 'docker' }))
  const take = await fixture.ledger.take({ task_id: task.id, n: 1 }, 'worker-1')
  if (take.kind !== 'taken') throw new Error('not taken')
  for (let i = 0; i < EVENTS / 20; i++) {
    await fixture.ledger.append({ taskId: task.id, claim: take.task.claim }, Array.from({ length: 20 }, () => ({ type: 'task.output', payload: { text: TEXT, stream: 'agent' } })))
  }
  url = `${fixture.url}/api/tasks/${task.id}/events`
})
afterAll(() => fixture.stop())

/** Takes nothing of the body until told to. */
function openUnread() {
  const stream = request(url, { headers: { authorization: `Bearer ${fixture.keys.alice}` } })
  const events: EventSourceMessage[] = []
  let isOver = false
  let readOn: (() => void) | undefined
  // Whoever reads on too late finds the connection reset.
  stream.on('error', () => undefined).once('response', (response) => {
    const parser = createParser({ onEvent: (event) => events.push(event) })
    response.setEncoding('utf8').pause()
    readOn = () => response.on('data', (text: string) => parser.feed(text)).once('close', () => { isOver = true }).resume()
  }).end()
  return { events, isOpen: () => readOn !== undefined, isOver: () => isOver, readOn: () => readOn?.(), close: () => stream.destroy() }
}

test('a reader that takes nothing is cut off, and has a cursor to go on with: nothing is lost and nothing comes twice', async () => {
  const readers = Array.from({ length: 3 }, openUnread)
  await waitFor(() => readers.every(({ isOpen }) => isOpen()), { what: 'all streams to be open' })
  // Cut off, and not yet closed for good: who begins to read now gets the last words.
  await waitFor(() => cut.length === 3, { what: 'all of them to be cut off' })
  const [one] = readers
  one?.readOn()
  await waitFor(() => one?.isOver() === true, { what: 'the end of what was sent' })
  const last = one?.events.at(-1)
  expect(last?.event).toBe('reconnect')
  const { reason, cursor } = JSON.parse(last?.data ?? '') as { reason: string; cursor: string }
  expect({ reason, cursor }).toEqual({ reason: 'slow', cursor: one?.events.at(-2)?.id })
  const got = one?.events.slice(0, -1).map(({ data }) => (JSON.parse(data) as { seq: number }).seq) ?? []
  const rest = await readEvents(url, fixture.keys.alice, { 'last-event-id': cursor })
  const more = (await rest.until(EVENTS + 2 - got.length)).map(({ data }) => (JSON.parse(data) as { seq: number }).seq)
  rest.close()
  expect([...got, ...more]).toEqual(Array.from({ length: EVENTS + 2 }, (_, i) => i + 1))
  for (const reader of readers) reader.close()
})
