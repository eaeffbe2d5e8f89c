import { expect, test } from 'vitest'
import { createUpdates, joined, usageOf } from './updates.ts'

const update = (of: object): object => ({ jsonrpc: '2.0', method: 'session/update', params: { sessionId: 's', update: of } })
const words = (text: string, messageId?: string): object => update({ sessionUpdate: 'agent_message_chunk', content: { type: 'text', text }, ...(messageId === undefined ? {} : { messageId }) })
const said = (...messages: unknown[]): string => {
  const updates = createUpdates(false)
  return messages.flatMap((message) => updates.take(message)).map((event) => (event.type === 'task.output' ? event.payload.text : '')).join('')
}

test('a message stands apart from the one before; its pieces do not', () => {
  expect(said(words('one', 'a'), words(' and', 'a'), words('two', 'b'), words('\n', 'b'), words('three', 'c'))).toBe('one and\n\ntwo\n\nthree')
  expect(createUpdates(true).take(words('goes on', 'a'))).toEqual([{ type: 'task.output', payload: { text: '\n\ngoes on', stream: 'agent' } }])
})

test('where an agent does not say which message its words are of, a tool between them makes two', () => {
  const tool = update({ sessionUpdate: 'tool_call', toolCallId: 't', title: 'ls', status: 'completed' })
  expect(said(tool, words('one'), words(' and'), tool, words('two'), words('three', 'c'), tool, words('four', 'c'))).toBe('one and\n\ntwothreefour')
})

test('a tool is told when it ends, with what was said of it on the way', () => {
  const updates = createUpdates(false)
  const tool = { toolCallId: 't', title: 'bash', kind: 'execute', status: 'pending', rawInput: {} }
  expect(updates.take(update({ ...tool, sessionUpdate: 'tool_call' }))).toEqual([])
  expect(updates.take(update({ sessionUpdate: 'tool_call_update', toolCallId: 't', status: 'in_progress', title: 'ls', rawInput: { command: 'ls' } }))).toEqual([])
  expect(updates.isToolOpen()).toBe(true)
  expect(updates.take(update({ sessionUpdate: 'tool_call_update', toolCallId: 't', status: 'failed', content: [{ type: 'content', content: { type: 'text', text: 'no' } }, { type: 'diff' }] })))
    .toEqual([{ type: 'task.tool', payload: { tool: 'execute', title: 'ls', status: 'error', input: '{"command":"ls"}', output: 'no' } }])
  expect([updates.isToolOpen(), updates.cutOff()]).toEqual([false, []])
})

test('L-40: what a tool put out is whole for the full output, and cut for the event', () => {
  const text = 'x'.repeat(100_000)
  const [event] = createUpdates(false).take(update({ sessionUpdate: 'tool_call', toolCallId: 't', title: 'cat', status: 'completed', content: [{ type: 'content', content: { type: 'text', text } }] }))
  expect(event).toMatchObject({ type: 'task.tool', whole: text })
  expect(JSON.stringify(event?.payload).length).toBeLessThan(16 * 1024)
})

test('tools that were under way when the agent ended are told once', () => {
  const updates = createUpdates(false)
  updates.take(update({ sessionUpdate: 'tool_call', toolCallId: 't', title: 'bash', kind: 'execute' }))
  expect(updates.cutOff()).toMatchObject([{ payload: { tool: 'execute', status: 'error', output: 'the tool was interrupted' } }])
  expect(updates.cutOff()).toEqual([])
})

test('what is no update, of a later version, or hostile, says nothing (G14)', () => {
  for (const message of [null, 7, 'x', [], {}, update({}), update({ sessionUpdate: 'agent_dream' }), words(''), update({ sessionUpdate: 'tool_call' }), { method: 'session/update', params: null }]) expect(said(message)).toBe('')
  const updates = createUpdates(false)
  for (let i = 0; i < 3_000; i += 1) updates.take(update({ sessionUpdate: 'tool_call', toolCallId: `t${i}`, title: 'x'.repeat(10_000) }))
  expect(JSON.stringify(updates.cutOff()).length).toBeLessThan(1_000_000)
})

test('every event fits into the log, however much was said at once', () => {
  const events = joined(createUpdates(false).take(words('"\u0001'.repeat(50_000))))
  expect(events.length).toBeGreaterThan(1)
  for (const event of events) expect(Buffer.byteLength(JSON.stringify(event))).toBeLessThan(16 * 1024)
})

test('usage is what the answer says, within what a sum can hold', () => {
  expect(usageOf({ usage: { inputTokens: 5, outputTokens: 1e300, cachedReadTokens: -4 } }, 7)).toEqual({ input_tokens: 5, output_tokens: 1e12, reasoning_tokens: 0, cache_read_tokens: 0, cache_write_tokens: 0, cost_micros: 7 })
  expect(usageOf({ usage: { inputTokens: 'many' } }, 0)).toBeUndefined()
})

test('usage that is told step by step is told then, and the end is no news', () => {
  const updates = createUpdates(false)
  expect(updates.isUsageTold()).toBe(false)
  const chunk = (usage: unknown): object => update({ sessionUpdate: 'agent_message_chunk', content: { type: 'text', text: '' }, _meta: { usage, durationMs: 3 } })
  expect(updates.take(chunk({ inputTokens: 5, outputTokens: 2, thoughtTokens: 1, totalTokens: 8 })))
    .toEqual([{ type: 'task.usage', payload: { input_tokens: 5, output_tokens: 2, reasoning_tokens: 1, cache_read_tokens: 0, cache_write_tokens: 0, cost_micros: 0 } }])
  expect(updates.isUsageTold()).toBe(true)
  for (const hostile of [null, 'x', {}, { inputTokens: '5', outputTokens: 1 }]) expect(updates.take(chunk(hostile))).toEqual([])
})
