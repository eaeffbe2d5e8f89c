import { describe, expect, test } from 'vitest'
import type { Message } from './message.ts'
import { agrees, failureOf, judge } from './verdict.ts'

const assistant = (info: Partial<Message['info']>, parts: Message['parts'] = []): Message => ({ info: { id: 'm', role: 'assistant', time: { completed: 1 }, ...info }, parts })
const FAILED_TOOL: Message['parts'][number] = { id: 'p', type: 'tool', tool: 'read', state: { status: 'error', input: {}, error: 'refused' } }
const codeOf = (...args: Parameters<typeof judge>): string => {
  const verdict = judge(...args)
  return verdict.is === 'failed' ? verdict.failure.code : verdict.is
}

describe('a session', () => {
  test.each([
    ['runs while it is busy, whatever its messages say', true, assistant({ finish: 'stop' }), 'running'],
    ['is pending before its first answer', false, undefined, 'pending'],
    ['is complete when the model stopped', false, assistant({ finish: 'stop' }), 'completed'],
    ['was interrupted when its last turn has no end', false, assistant({ time: {}, finish: 'stop' }), 'backend_lost'],
    ['was refused something when a tool of its last turn failed', false, assistant({ finish: 'tool-calls' }, [FAILED_TOOL]), 'permission_rejected'],
    ['was interrupted between two turns when its tools did not fail', false, assistant({ finish: 'tool-calls' }), 'backend_lost'],
    ['was interrupted when somebody aborted it', false, assistant({ error: { name: 'MessageAbortedError', data: {} } }), 'backend_lost'],
    ['is truncated when the model ran out of room', false, assistant({ finish: 'length' }), 'output_truncated'],
    ['failed when its end is unknown', false, assistant({ finish: 'whatever' }), 'agent_error'],
    ['failed when its message did, finished or not', false, assistant({ time: {}, error: { name: 'APIError', data: { statusCode: 500 } } }), 'provider_error'],
  ] as const)('%s', (_name, isBusy, newest, expected) => {
    expect(codeOf(isBusy, newest === undefined ? [] : [newest], undefined)).toBe(expected)
  })

  test('that only reported an error failed with it', () => {
    expect(codeOf(false, [], { name: 'UnknownError', data: { message: 'Agent not found' } })).toBe('agent_error')
  })
})

describe('a session that was told something', () => {
  const user = (id: string, created: number): Message => ({ info: { id, role: 'user', time: { created } }, parts: [] })
  const answer = (parentID: string, info: Partial<Message['info']> = {}, parts: Message['parts'] = []): Message => assistant({ id: `to ${parentID}`, parentID, finish: 'stop', ...info }, parts)
  const [prompt, told] = [user('msg_1', 1), user('msg_2', 2)]
  const tellIt = (...messages: Message[]): string => codeOf(false, messages, undefined, 'msg_2')

  test('is not complete before it answered that', () => {
    expect(tellIt(prompt, answer('msg_1'), told)).toBe('unheard')
    expect(tellIt(prompt, told, answer('msg_1'))).toBe('unheard') // its step had begun before
    expect(tellIt(prompt, answer('msg_1'), told, answer('msg_2'))).toBe('completed')
  })

  test('is complete when what it was told has not come', () => {
    expect(tellIt(prompt, answer('msg_1'))).toBe('completed')
  })

  test('goes by the server\'s clock, as the server does: what is said again is the newest', () => {
    expect(tellIt(prompt, user('msg_0', 9), told, answer('msg_0'))).toBe('completed')
  })

  test('has failed when the step before it did; that it was refused something is not its end', () => {
    expect(tellIt(prompt, answer('msg_1', { finish: 'length' }), told)).toBe('output_truncated')
    expect(tellIt(prompt, answer('msg_1', { finish: 'tool-calls' }, [FAILED_TOOL]), told)).toBe('backend_lost')
    expect(codeOf(false, [prompt, answer('msg_1'), told], { name: 'APIError', data: { statusCode: 500 } }, 'msg_2')).toBe('provider_error')
  })

  test('is pending when somebody else said the newest, as before', () => {
    expect(tellIt(prompt, told, answer('msg_2'), user('msg_3', 3))).toBe('pending')
  })
})

describe('an error', () => {
  test.each([
    ['APIError', { statusCode: 429, isRetryable: true }, 'provider_busy'],
    ['APIError', { statusCode: 503, isRetryable: true }, 'provider_error'],
    ['APIError', { isRetryable: true, message: 'Cannot connect to API' }, 'provider_error'],
    ['APIError', { statusCode: 401, isRetryable: false }, 'provider_rejected'],
    ['ProviderAuthError', {}, 'provider_rejected'],
    ['ContextOverflowError', {}, 'output_truncated'],
    ['UnknownError', { message: 'ProviderModelNotFoundError' }, 'provider_rejected'],
    ['MessageAbortedError', {}, 'backend_lost'],
  ] as const)('%s %o is %s', (name, data, code) => {
    expect(failureOf({ name, data }).code).toBe(code)
  })
})

test('two looks agree when they say the same', () => {
  const failed = judge(false, [assistant({ finish: 'length' })], undefined)
  expect(agrees(failed, failed)).toBe(true)
  expect(agrees(failed, judge(false, [assistant({ time: {} })], undefined))).toBe(false)
  expect(agrees({ is: 'completed' }, { is: 'running' })).toBe(false)
})
