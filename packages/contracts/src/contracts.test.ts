import { describe, expect, test } from 'vitest'

import {
  END_STATES, EVENT_PAYLOADS, EVENT_TYPES, FAILURE_CODES, formatCursor, isOver, isWorthRetrying, mayBecome, MAX_PROMPT_BYTES, parseCursor, parseEvent, Prompt,
  START, TASK_STATES, TaskFailure, TaskId, taskIdFrom, titleOf, toFailure,
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
