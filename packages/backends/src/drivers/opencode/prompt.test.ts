import { expect, test } from 'vitest'
import type { Message } from './message.ts'
import { answers, firstPromptIds, isBefore, nextPromptIds } from './prompt.ts'

const message = (id: string): Message => ({ info: { id, role: 'assistant', time: {} }, parts: [] })

test('a prompt is behind all that was said before, whatever the clocks say, and each is another one', () => {
  const tomorrow = firstPromptIds(Date.now() + 86_400_000)
  const earlier = [message(tomorrow.message), message(firstPromptIds(Date.now()).message)]
  const [next, other] = [nextPromptIds(earlier), nextPromptIds(earlier)]
  expect(next).not.toEqual(other)
  for (const one of earlier) expect(isBefore(one, next.message)).toBe(true)
  expect(isBefore(message(nextPromptIds([message(next.message)]).message), next.message)).toBe(false)
  expect(next.message).toMatch(/^msg_[0-9a-f]{26}$/)
  expect(next.part).toMatch(/^prt_[0-9a-f]{26}$/)
})

test('an answer belongs to the prompt that it was begun for, however late it was begun', () => {
  const { info, parts } = message('msg_9')
  expect(answers({ info: { ...info, parentID: 'msg_1' }, parts }, 'msg_2')).toBe(false)
  expect(answers({ info: { ...info, parentID: 'msg_2' }, parts }, 'msg_2')).toBe(true)
  expect(answers({ info, parts }, 'msg_2')).toBe(true)
  expect(answers({ info: { ...info, role: 'user' }, parts }, 'msg_2')).toBe(false)
})

test('ids that are none of OpenCode\'s do no harm', () => {
  expect(nextPromptIds([message('what'), message('msg_zzzzzzzzzzzz')]).message).toMatch(/^msg_000000000001/)
})
