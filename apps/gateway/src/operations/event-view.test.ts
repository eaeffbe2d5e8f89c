import { type EventDraft, parseEvent } from '@longshore/contracts'
import { expect, test } from 'vitest'
import { viewEvent } from './event-view.ts'

const say = (draft: EventDraft) => viewEvent(parseEvent({ v: 1, id: '01HZZZZZZZZZZZZZZZZZZZZZZZ', task_id: `task-${'a'.repeat(26)}`, seq: 1, at: 0, ...draft })).message

test('G7: the log says in words whether a run was adopted, resumed or begun again, and why', () => {
  expect(say({ type: 'task.adopted', payload: { attempt: 1, claim: 2, worker: 'w2' } })).toBe('attempt 1 adopted by w2: what it ran was found and goes on')
  expect(say({ type: 'task.resumed', payload: { attempt: 1, claim: 2, worker: 'w2', detail: 'its container was gone\nmore' } })).toBe('attempt 1 resumed on w2: its container was gone')
  const failure = { code: 'worker_lost' as const, message: 'w1 died; its workspace is on another storage' }
  expect(say({ type: 'task.retrying', payload: { attempt: 1, failure, delay_ms: 0 } })).toBe('attempt 1 failed (worker_lost); the next one at once: w1 died; its workspace is on another storage')
  expect(say({ type: 'task.retrying', payload: { attempt: 1, failure, delay_ms: 2_000 } })).toContain('the next one in 2000 ms: w1 died')
})

test('G9: a timeout names the limit that ended it', () => {
  expect(say({ type: 'task.timeout', payload: { attempt: 0, duration_ms: 0, limit: 'queue_ttl_ms', limit_ms: 60_000 } })).toBe('ended by queue_ttl_ms (60000 ms)')
})
