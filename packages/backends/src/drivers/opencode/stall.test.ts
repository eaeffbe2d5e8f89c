import { beforeEach, describe, expect, test } from 'vitest'
import type { Message } from './message.ts'
import { createStallWatch, type StallWatch } from './stall.ts'

describe('an agent', () => {
  let now: number
  let watch: StallWatch
  beforeEach(() => {
    now = 0
    watch = createStallWatch({ stallMs: 1_000, stallToolMs: 60_000 }, () => now)
  })
  const says = (text: string): Message[] => [{ info: { id: 'm', role: 'assistant', time: {} }, parts: [{ id: 'p', type: 'text', text }] }]
  const runs = (status: 'pending' | 'running' | 'completed'): Message[] => [
    { info: { id: 'm', role: 'assistant', time: {} }, parts: [{ id: 'p', type: 'tool', tool: 'bash', state: { status, input: {} } }] },
    { info: { id: 'n', role: 'user', time: {} }, parts: [] }, // somebody spoke to it meanwhile
  ]
  const hear = (type: string): void => watch.hear({ type, properties: {} })

  test('that shows no sign of life has stalled, and it is said which limit that was and what came last', () => {
    hear('message.part.delta')
    now = 999
    expect(watch.failure()).toBeUndefined()
    now = 1_400
    expect(watch.failure()).toEqual({ code: 'stalled', message: 'the agent showed no sign of life for 1 s (STALL_MS, no tool runs); the last one, message.part.delta, was 1 s ago' })
  })

  test.each(['message.part.delta', 'session.status', 'session.created', 'permission.asked'])('lives while there is a %s, a sub-agent\'s too', (type) => {
    now = 1_400
    hear(type)
    expect(watch.failure()).toBeUndefined()
  })

  test.each(['server.heartbeat', 'server.connected', 'file.watcher.updated'])('is not kept alive by a %s', (type) => {
    now = 1_400
    hear(type)
    expect(watch.failure()).toMatchObject({ code: 'stalled' })
  })

  test('lives while what is read of it changes, whatever the stream says', () => {
    for (const text of ['a', 'ab', 'abc']) {
      now += 900
      watch.see(says(text))
      expect(watch.failure()).toBeUndefined()
    }
    now += 1_000
    watch.see(says('abc'))
    expect(watch.failure()).toMatchObject({ code: 'stalled' })
  })

  test('may be silent for longer while a tool runs, not while one is only about to', () => {
    watch.see(runs('running'))
    now = 59_000
    watch.see(runs('running'))
    expect(watch.failure()).toBeUndefined()
    now = 61_000
    expect(watch.failure()).toMatchObject({ code: 'stalled', message: expect.stringContaining('60 s (STALL_TOOL_MS, a tool runs)') as string })
    watch.see(runs('pending'))
    expect(watch.failure()).toBeUndefined()
    now += 1_000
    expect(watch.failure()).toMatchObject({ code: 'stalled', message: expect.stringContaining('STALL_MS') as string })
  })
})
