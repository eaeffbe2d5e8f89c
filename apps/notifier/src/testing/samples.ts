import { randomBytes } from 'node:crypto'

import { type AnyEvent, type EventDraft, parseEvent, type Task, taskIdFrom } from '@longshore/contracts'

const AT = Date.UTC(2026, 10, 23, 14, 3)
const ULID = '01HZZZZZZZZZZZZZZZZZZZZZZZ'

/** A running task; a test names what it is about. */
export function aTask(more: Partial<Task> = {}): Task {
  return {
    v: 1, id: taskIdFrom(randomBytes(52)), agent_id: 'agent-local', prompt: 'Fix the flaky test', title: 'Fix the flaky test', mode: 'docker', profile: 'opencode',
    timeout_ms: 300_000, max_attempts: 3, observers: [], state: 'running', claim: 1, attempt: 1, ticket: 1, created_at: AT, started_at: AT, seq: 2, last_event_id: ULID, ...more,
  }
}

export function anEvent(draft: EventDraft, seq = 3): AnyEvent {
  return parseEvent({ v: 1, id: ULID, task_id: taskIdFrom(randomBytes(52)), seq, at: AT, ...draft })
}
