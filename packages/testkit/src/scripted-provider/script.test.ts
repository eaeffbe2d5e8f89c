import { describe, expect, test } from 'vitest'
import { clientOf } from './clients.ts'
import { replyTo, SCRIPTED_TITLE } from './reply.ts'
import { parseDirectives, progressOf } from './script.ts'

const CLIENT = clientOf(new Set(['bash', 'write', 'question']))
const QWEN = clientOf(new Set(['run_shell_command', 'edit']))
const never = (): boolean => false
const user = (text: string) => ({ role: 'user', text })
const turn = (text = '') => ({ role: 'assistant', text })

describe('directives', () => {
  test('are found in order, with what they take', () => {
    expect(parseDirectives('do [[write a/b.txt|one|two]] then [[ask Go on?|yes|no]] [[sleep 20]] [[stream 3]] [[stream 2|50]] [[status 429]] [[hang]]')).toEqual([
      { do: 'write', path: 'a/b.txt', text: 'one|two' },
      { do: 'ask', question: 'Go on?', choices: ['yes', 'no'] },
      { do: 'sleep', ms: 20 }, { do: 'stream', chunks: 3, pauseMs: 0 }, { do: 'stream', chunks: 2, pauseMs: 50 }, { do: 'status', code: 429 }, { do: 'hang' },
    ])
  })

  test("keep bash's own double brackets", () => {
    expect(parseDirectives('[[bash if [[ -f x ]]; then echo y; fi]][[say z]]')).toEqual([
      { do: 'bash', command: 'if [[ -f x ]]; then echo y; fi' }, { do: 'say', text: 'z' },
    ])
  })

  test('that are unknown, unclosed or have a bad number are words', () => {
    expect(parseDirectives('[[fly high]] [[sleep soon]] [[sleep -1]] [[stream x]] [[stream 2|soon]] [[status 200]] [[bash echo')).toEqual([])
  })
})

describe('progress', () => {
  test('is what the conversation shows', () => {
    const script = user('[[bash a]] [[bash b]]')
    expect(progressOf([script]).position).toBe(0)
    expect(progressOf([script, turn(), { role: 'tool', text: 'aborted' }]).position).toBe(1)
  })

  test('a later message adds its directives behind the first ones', () => {
    const { script, position } = progressOf([user('[[say a]]'), turn('a'), turn('done'), user('[[say b]]')])
    expect(script[position]).toEqual({ do: 'say', text: 'b' })
  })

  test('a status takes no turn', () => {
    const { script, position } = progressOf([user('[[status 500]] [[say a]] [[say b]]'), turn('a')])
    expect(script[position]).toEqual({ do: 'say', text: 'b' })
  })
})

describe('a reply', () => {
  test('without tools is a title', () => {
    expect(replyTo(progressOf([user('[[bash a]]')]), undefined, never)).toMatchObject([{ chunks: [SCRIPTED_TITLE] }])
  })

  test('is a failure once per directive, then the next directive', () => {
    const progress = progressOf([user('[[status 503]] [[status 429]] [[say a]]')])
    expect(replyTo(progress, CLIENT, never)).toEqual([{ kind: 'status', code: 503 }])
    expect(replyTo(progress, CLIENT, (position) => position === 0)).toEqual([{ kind: 'status', code: 429 }])
    expect(replyTo(progress, CLIENT, () => true)).toMatchObject([{ chunks: ['a'], goesOn: false }])
  })

  test('of words goes on when more is to be done', () => {
    expect(replyTo(progressOf([user('[[say a]] [[say b]]')]), CLIENT, never)).toMatchObject([{ chunks: ['a'], goesOn: true }])
  })

  test('to a text without directives is a short answer that says what it is', () => {
    expect(replyTo(progressOf([user('hello')]), CLIENT, never)).toMatchObject([{ kind: 'text', goesOn: false, chunks: [expect.stringContaining('[scripted]')] }])
  })

  test('to a client whose loop ends with words holds the next call, too, and its progress is that of turns', () => {
    const messages = [user("[[say a]] [[sleep 1]] [[bash b]] [[write d/it's|text]] [[ask c?|x|y]] [[say d]]")]
    const next = () => replyTo(progressOf(messages, QWEN), QWEN, never)
    expect(next()).toMatchObject([{ chunks: ['a'] }, { waitMs: 1 }, { kind: 'tool', name: 'run_shell_command', input: { command: 'b' } }])
    messages.push(turn('a'))
    expect(next()).toMatchObject([{ kind: 'tool', input: { command: `mkdir -p "$(dirname 'd/it'\\''s')" && printf %s 'text' > 'd/it'\\''s'` } }])
    messages.push(turn())
    expect(next()).toMatchObject([{ chunks: [expect.stringContaining('"question" is not offered')] }, { chunks: ['d'], goesOn: false }])
    messages.push(turn('d'), user('[[hang]]'))
    expect(next()).toEqual([{ kind: 'hang' }])
  })
})
