import { EVENT_PAYLOADS, type ExecutionEvent, MAX_EVENT_BYTES } from '@longshore/contracts'
import { describe, expect, test } from 'vitest'
import { Message, type Part } from './message.ts'
import { anchor, mirror, type PartPosition, textOf } from './mirror.ts'

const START: PartPosition = { part: '', offset: null }
const RUNS = (): boolean => false
const OVER = (): boolean => true
const NOTHING = new Map<string, string>()
const says = (...parts: Part[]): Message[] => [{ info: { id: 'm', role: 'assistant', time: {} }, parts }]
const text = (id: string, said: string, isDone = true): Part => ({ id, type: 'text', text: said, time: isDone ? { end: 1 } : {} })
const tool = (id: string, status: 'running' | 'completed', output = ''): Part => ({ id, type: 'tool', tool: 'bash', state: { status, input: { command: 'ls' }, output, title: 'ls' } })
const words = (events: readonly ExecutionEvent[]): string => events.map((event) => (event.type === 'task.output' ? event.payload.text : `<${event.type}>`)).join('')

describe('a mirror', () => {
  test('stops at a tool that runs, and goes on there when it has ended', () => {
    const first = mirror(says(text('a', 'one '), tool('b', 'running'), text('c', 'two')), START, NOTHING, RUNS)
    expect(words(first?.events ?? [])).toBe('one ')
    const second = mirror(says(text('a', 'one '), tool('b', 'completed'), text('c', 'two')), first?.position ?? START, NOTHING, RUNS)
    expect(words(second?.events ?? [])).toBe('<task.tool>two')
  })

  test('shows text while it is written, and each character once', () => {
    const writing = says(text('a', '', false))
    const first = mirror(writing, START, new Map([['a', 'hel']]), RUNS)
    const second = mirror(writing, first?.position ?? START, new Map([['a', 'hello']]), RUNS)
    const third = mirror(says(text('a', 'hello world')), second?.position ?? START, NOTHING, RUNS)
    expect([first, second, third].map((one) => words(one?.events ?? []))).toEqual(['hel', 'lo', ' world'])
    expect(third?.position).toEqual({ part: 'a', offset: null })
  })

  test('puts a blank line between texts, also when it goes on behind one', () => {
    const parts = [text('a', 'Let me look at it.'), tool('b', 'completed'), text('c', ''), text('d', 'Done.\n'), text('e', 'Bye.')]
    for (let known = 0; known <= parts.length; known += 1) {
      const first = mirror(says(...parts.slice(0, known)), START, NOTHING, RUNS)
      const second = mirror(says(...parts), first?.position ?? START, NOTHING, RUNS, textOf(first?.events ?? []))
      expect(words([...(first?.events ?? []), ...(second?.events ?? [])])).toBe('Let me look at it.<task.tool>\n\nDone.\n\nBye.')
    }
  })

  test('after a gap in the stream waits for the whole text', () => {
    const gap = mirror(says(text('a', '', false)), { part: 'a', offset: 3 }, NOTHING, RUNS)
    expect(gap).toEqual({ events: [], position: { part: 'a', offset: 3 } })
    expect(words(mirror(says(text('a', 'hello')), { part: 'a', offset: 3 }, NOTHING, RUNS)?.events ?? [])).toBe('lo')
  })

  test('says that it needs more messages when its position is not among them', () => {
    expect(mirror(says(text('b', 'x')), { part: 'a', offset: null }, NOTHING, RUNS)).toBeUndefined()
  })

  test('waits for nothing when the run is over', () => {
    const last = mirror(says(tool('a', 'running'), text('b', 'bye', false)), START, NOTHING, OVER)
    expect(last?.events[0]).toMatchObject({ payload: { status: 'error', output: 'the tool was interrupted' } })
    expect(words(last?.events ?? [])).toBe('<task.tool>bye')
  })

  test('does not wait for a text that broke off when another is written after it', () => {
    const all = [text('a', '', false), text('b', 'Once more.'), tool('c', 'completed')]
    const news = mirror(says(...all), { part: 'a', offset: 3 }, NOTHING, RUNS, 'Onc')
    expect(words(news?.events ?? [])).toBe('\n\nOnce more.<task.tool>')
    expect(news?.position).toEqual({ part: 'c', offset: null })
    const [message] = says(text('a', '', false), tool('b', 'completed'))
    const over = { ...message, info: { ...message?.info, time: { completed: 1 } } } as Message
    expect(words(mirror([over, ...says(text('c', 'On.'))], { part: 'a', offset: 3 }, NOTHING, RUNS, 'Onc')?.events ?? [])).toBe('<task.tool>\n\nOn.')
  })

  test('of a session whose server died waits for nothing that stood there, and goes on behind it', () => {
    const [died, resumed] = [{ ...says(text('a', '', false), tool('b', 'running'))[0], info: { id: 'm1', role: 'assistant', time: {} } } as Message, { ...says(text('d', 'again'))[0], info: { id: 'm3', role: 'assistant', time: {} } } as Message]
    const news = mirror([died, resumed], { part: 'a', offset: 3 }, NOTHING, ({ info }) => info.id < 'm2')
    expect(words(news?.events ?? [])).toBe('<task.tool>again')
    expect(news?.position).toEqual({ part: 'd', offset: null })
  })

  test('whose part was never written down stands behind the newest one that is older', () => {
    const all = says(text('a', 'one'), text('c', 'three'))
    expect(anchor(all, { part: 'b', offset: 2 })).toEqual({ part: 'a', offset: null })
    expect(anchor(all, { part: 'c', offset: 2 })).toEqual({ part: 'c', offset: 2 })
    expect(anchor([], { part: 'b', offset: 2 })).toEqual(START)
  })

  test('leaves out what the user said and what OpenCode made up', () => {
    const user = { ...says(text('a', 'prompt'))[0], info: { id: 'u', role: 'user', time: {} } } as Message
    const synthetic: Part = { id: 'b', type: 'text', text: 'reminder', synthetic: true }
    expect(mirror([user, ...says(synthetic)], START, NOTHING, RUNS)?.events).toEqual([])
  })

  test('makes events that fit, whatever the agent wrote', () => {
    const wild = '\u0000"\uD83D'.repeat(20_000)
    const events = mirror(says(text('a', wild), tool('b', 'completed', wild)), START, NOTHING, RUNS)?.events ?? []
    for (const event of events) expect(Buffer.byteLength(JSON.stringify({ ...event, whole: undefined }))).toBeLessThan(MAX_EVENT_BYTES)
  })

  test('takes no number from a hostile server that its events cannot hold', () => {
    const tokens = { input: 1e300, output: -5, reasoning: 1e20, cache: { read: 0.4, write: 1 } }
    const state = { status: 'completed', input: {}, output: '', time: { start: -1e308, end: 1e308 } }
    const parts = [{ id: 'a', type: 'step-finish', cost: 1e305, tokens }, { id: 'b', type: 'tool', tool: 'bash', state }]
    for (const event of mirror([Message.parse({ info: { id: 'm', role: 'assistant', time: {} }, parts })], START, NOTHING, RUNS)?.events ?? []) {
      expect(EVENT_PAYLOADS[event.type].safeParse(event.payload)).toMatchObject({ success: true })
    }
    expect(Message.safeParse({ info: { id: 'm', role: 'assistant', time: {} }, parts: [{ id: 'x'.repeat(1_000), type: 'text', text: '' }] }).success).toBe(false)
  })

  test('counts usage in whole tokens and millionths', () => {
    const message = Message.parse({
      info: { id: 'm', role: 'assistant', time: {} },
      parts: [{ id: 'a', type: 'step-finish', cost: 0.0123456, tokens: { input: 10, output: 2, reasoning: 0, cache: { read: 1, write: 0 } } }, { id: 'b', type: 'new-kind', x: 1 }],
    })
    expect(mirror([message], START, NOTHING, RUNS)).toEqual({
      events: [{ type: 'task.usage', payload: { input_tokens: 10, output_tokens: 2, reasoning_tokens: 0, cache_read_tokens: 1, cache_write_tokens: 0, cost_micros: 12_346 } }],
      position: { part: 'b', offset: null },
    })
  })
})
