import { describe, expect, test } from 'vitest'

import {
  END_STATES, EVENT_PAYLOADS, EVENT_TYPES, FAILURE_CODES, formatCursor, Handle, isOver, isWorthRetrying, MAX_PROMPT_BYTES, MAX_QUEUE_TTL_MS, mayBecome,
  MIN_TIMEOUT_MS, NewTask, parseCursor, parseEvent, Prompt, QueueTtlMs, START, Task, TASK_STATES, TaskFailure, TaskId, taskIdFrom, Ticket, titleOf, toFailure,
} from './index.ts'

describe('the state table', () => {
  test('G3: nothing leads out of an end', () => {
    for (const end of END_STATES) for (const to of TASK_STATES) expect(mayBecome(end, to)).toBe(false)
    expect(TASK_STATES.filter((state) => isOver(state))).toEqual(END_STATES)
  })

  test('pause, cancel, timeout and failure are legal from every state that is not an end', () => {
    for (const from of TASK_STATES.filter((state) => !isOver(state))) {
      for (const to of ['paused', 'cancelled', 'timeout', 'failed'] as const) expect(`${from} to ${to}: ${mayBecome(from, to)}`).toBe(`${from} to ${to}: true`)
    }
  })

  test('only a running task completes', () => {
    expect(TASK_STATES.filter((from) => mayBecome(from, 'completed'))).toEqual(['running'])
  })
})

describe('ids and cursors', () => {
  test('a task id is made of 26 characters and is checked', () => {
    const id = taskIdFrom(new Uint8Array(52).fill(255))
    expect(TaskId.parse(id)).toBe(id)
    expect(TaskId.safeParse('task-../../etc/passwd').success).toBe(false)
  })

  test('a cursor survives being written down; anything else is refused', () => {
    const cursor = { seq: 12, id: '01ARZ3NDEKTSV4RRFFQ69G5FAV' }
    expect(parseCursor(formatCursor(cursor))).toEqual(cursor)
    expect(parseCursor(formatCursor(START))).toEqual(START)
    for (const wrong of ['', '12', '-1-x', '1e9', '12-01ARZ3NDEKTSV4RRFFQ69G5FA!', ...['0x10', '1e3', ' 5', '1.0', '05', '9007199254740992'].map((seq) => `${seq}-${cursor.id}`), `12-${cursor.id}-more`]) expect(parseCursor(wrong)).toBeUndefined()
  })
})

describe('events', () => {
  const envelope = { v: 1, id: '01ARZ3NDEKTSV4RRFFQ69G5FAV', task_id: `task-${'0'.repeat(26)}`, seq: 1, at: 5 }

  test('a known event is typed, an unknown or newer one passes through untouched', () => {
    const output = { ...envelope, type: 'task.output', payload: { text: 'hi', stream: 'agent' } }
    expect(parseEvent(output)).toEqual({ ...output, known: true })
    for (const strange of [{ ...output, type: 'task.danced' }, { ...output, v: 2 }, { ...output, payload: { words: 3 } }]) {
      expect(parseEvent(strange)).toEqual({ ...strange, known: false })
    }
  })

  test('a broken envelope is an error, not an event', () => {
    expect(() => parseEvent({ ...envelope, seq: 0, type: 'task.output', payload: {} })).toThrow('seq')
  })

  test('every type of the design has a payload schema', () => {
    expect(EVENT_TYPES).toEqual(Object.keys(EVENT_PAYLOADS))
    expect(EVENT_TYPES).toContain('task.message_delivered')
  })
})

describe('failures', () => {
  test("the agent's own failure and a defect of ours are never retried, a busy provider is", () => {
    expect(isWorthRetrying('agent_error')).toBe(false)
    expect(isWorthRetrying('internal')).toBe(false)
    expect(isWorthRetrying('provider_busy')).toBe(true)
    expect([isWorthRetrying('image_pull'), isWorthRetrying('image_missing'), isWorthRetrying('stalled'), isWorthRetrying('poison')]).toEqual([true, false, true, false])
    expect(FAILURE_CODES.every((code) => typeof isWorthRetrying(code) === 'boolean')).toBe(true)
  })

  test('anything thrown becomes data; long and broken messages are made to fit', () => {
    expect(toFailure(new TaskFailure('backend_lost', 'x'.repeat(9_000))).message).toHaveLength(4_096)
    expect(toFailure('odd')).toEqual({ code: 'internal', message: 'odd' })
    expect(toFailure(new TaskFailure('agent_error', 'a\ud800')).message).toBe('a\ufffd')
  })
})

describe('prompts and titles', () => {
  test('the limit of a prompt is in bytes', () => {
    expect(Prompt.safeParse('x'.repeat(MAX_PROMPT_BYTES)).success).toBe(true)
    expect(Prompt.safeParse('€'.repeat(MAX_PROMPT_BYTES / 2)).success).toBe(false)
    expect(Prompt.safeParse('').success).toBe(false)
  })

  test.each([
    ['\n\n  fix the bug \nand more', 'fix the bug'],
    ['\u202Eevil\u0007 title', 'evil title'],
    ['   ', 'untitled'],
    ['x'.repeat(500), `${'x'.repeat(79)}…`],
  ])('the title of %j is %j', (prompt, title) => {
    expect(titleOf(prompt)).toBe(title)
  })

  test('a title never ends in half a character (G14)', () => {
    expect(titleOf('👩‍👩‍👧‍👦'.repeat(100)).isWellFormed()).toBe(true)
    expect(titleOf('👩‍👩‍👧‍👦'.repeat(100)).length).toBeLessThanOrEqual(120)
  })
})

describe('what the previous build wrote, and what it does not know', () => {
  const id = taskIdFrom(new Uint8Array(52))
  const brief = { id, agent_id: 'agent-a', prompt: 'p', title: 't', mode: 'docker' } as const
  const record = { ...NewTask.parse(brief), v: 1, state: 'queued', claim: 0, attempt: 0, ticket: 1, created_at: 5, seq: 1, last_event_id: '' }
  const ticket = { v: 1, task_id: id, n: 1, agent_id: 'agent-a', mode: 'docker', title: 't', min_worker: 1 }
  const handle = { v: 1, mode: 'docker', data: { container: 'c1' } }

  test('tasks, tickets and handles without the later fields are read as they are', () => {
    expect(Task.parse(record)).toEqual(record)
    expect(Ticket.parse(ticket)).toEqual(ticket)
    expect(Handle.parse(handle)).toEqual(handle)
  })

  test('the later fields are kept, and what comes after them is left out, not refused', () => {
    const later = { queue_ttl_ms: 60_000, crashes: 2, route: 'engine-1' }
    expect(Task.parse({ ...record, ...later, to_come: 1 })).toEqual({ ...record, ...later })
    expect(Ticket.parse({ ...ticket, engine_id: 'engine-1', to_come: 1 })).toEqual({ ...ticket, engine_id: 'engine-1' })
    const bound = { ...handle, storage_id: 's', engine_id: 'e', checkpoint: true }
    expect(Handle.parse({ ...bound, to_come: 1 })).toEqual(bound)
  })

  test('a handle is a checkpoint or says nothing of it: false is no third answer', () => {
    expect(Handle.safeParse({ ...handle, checkpoint: false }).success).toBe(false)
  })

  test('the time in the queue is whole milliseconds from a second to thirty days; without one a task waits for ever', () => {
    for (const right of [MIN_TIMEOUT_MS, MAX_QUEUE_TTL_MS]) expect(QueueTtlMs.parse(right)).toBe(right)
    for (const wrong of [MIN_TIMEOUT_MS - 1, MAX_QUEUE_TTL_MS + 1, 1_500.5, Infinity, '60000', null]) expect(QueueTtlMs.safeParse(wrong).success).toBe(false)
    expect(NewTask.parse(brief)).not.toHaveProperty('queue_ttl_ms')
  })
})
