import { TaskFailure } from '@longshore/contracts'
import { expect, test } from 'vitest'
import { createWaiting, type Request } from './waiting.ts'

const OPTIONS = [{ optionId: 'a', kind: 'allow_always', name: '' }, { optionId: 'n', kind: 'reject_always', name: '' }, { optionId: 'y', kind: 'allow_once', name: '' }] as const
const request = (id: string | number, options: Request['params']['options'] = [...OPTIONS], signal = new AbortController().signal): Request => ({ id, signal, params: { sessionId: 's', toolCall: { toolCallId: 't' }, options } })
const sent: unknown[] = []
const sender = { send: (_key: string, message: object) => Promise.resolve(void sent.push(message)) }
const only = ({ list }: ReturnType<typeof createWaiting>) => list()[0]?.answer ?? (() => Promise.reject(new Error('nothing waits')))

test('an agent that is started again, and counts anew, asks something else (G7)', () => {
  const names = [createWaiting('one', sender, () => {}), createWaiting('two', sender, () => {})].flatMap((waiting) => {
    void waiting.add(request(7), { question: '' })
    void waiting.add(request('7'), { question: '' })
    return waiting.list().map(({ id }) => id)
  })
  expect(new Set(names).size).toBe(4)
})

test('an answer is for this once; an agent that takes none such is told that nobody answers', async () => {
  const waiting = createWaiting('one', sender, () => {})
  const outcomes: unknown[] = []
  for (const [choice, options] of [['always', [...OPTIONS]], ['deny', [...OPTIONS]], ['allow', [OPTIONS[0]]]] as const) {
    const said = waiting.add(request(1, [...options]), { question: '' })
    await only(waiting)({ choices: [choice] })
    outcomes.push((await said).outcome)
  }
  expect(outcomes).toEqual([{ outcome: 'selected', optionId: 'y' }, { outcome: 'selected', optionId: 'n' }, { outcome: 'cancelled' }])
})

test('what the agent does not wait for any more is gone', async () => {
  const over = new AbortController()
  const waiting = createWaiting('one', sender, () => {})
  const said = waiting.add(request(1, [...OPTIONS], over.signal), { question: '' })
  const answer = only(waiting)
  over.abort()
  expect([await answer({ choices: ['allow'] }), await said, waiting.list()]).toEqual(['gone', { outcome: { outcome: 'cancelled' } }, []])
  expect(await waiting.add(request(2, [...OPTIONS], over.signal), { question: '' })).toEqual({ outcome: { outcome: 'cancelled' } })
})

test('an answer that does not arrive can be given again', async () => {
  let isAway = true
  const waiting = createWaiting('one', { send: () => (isAway ? Promise.reject(new TaskFailure('backend_unavailable', 'away')) : Promise.resolve()) }, () => {})
  void waiting.add(request(1), { question: '' })
  await expect(only(waiting)({ choices: ['allow'] })).rejects.toThrow('away')
  isAway = false
  expect(await only(waiting)({ choices: ['allow'] })).toBe('answered')
  expect(waiting.list()).toEqual([])
})
