import { expect, test } from 'vitest'
import { record, successorOf, textOf } from '../../fixtures/record.ts'
import { redactor } from '../../text.ts'
import type { FileWatch } from '../../workspace/file-watch.ts'
import type { Message } from './message.ts'
import { parsePosition } from './position.ts'
import type { SessionApi } from './session-api.ts'
import { createSessionMirror } from './session-mirror.ts'

const NO_FILES: FileWatch = { hint: () => {}, dueInMs: () => undefined, scan: (tree) => Promise.resolve({ events: [], tree }), count: () => Promise.resolve(0) }
const clean = redactor(['sk-a-long-secret'])
const said = (text: string, isDone: boolean): Message[] => [{ info: { id: 'm', role: 'assistant', time: {} }, parts: [{ id: 'a', type: 'text', text, time: isDone ? { end: 1 } : {} }] }]

test('G14, G5: a secret that is looked at while it is written is in no event, nor in all together, whenever the worker dies', async () => {
  const text = 'the key is sk-a-long-secret, or so it seems'
  for (let seen = 0; seen <= text.length; seen += 1) {
    const one = record('x')
    const live = new Map<string, string>()
    const mirrorFor = ({ run, task }: typeof one) => createSessionMirror({
      api: {} as SessionApi, sessionId: 's', prompt: '', position: parsePosition(task.position) ?? { part: '', offset: null, tree: 't' }, baseline: 't', files: NO_FILES, live, clean, emit: run.emit,
    })
    const mirror = mirrorFor(one)
    for (let length = 1; length <= seen; length += 1) {
      live.set('a', text.slice(0, length))
      await mirror.write(said('', false), false)
    }
    const next = successorOf(one)
    live.clear()
    await mirrorFor(next).write(said(text, true), true)
    expect(textOf([...one.events, ...next.events])).toBe('the key is [redacted], or so it seems')
  }
})
