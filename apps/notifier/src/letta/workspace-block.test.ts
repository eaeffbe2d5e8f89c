import { expect, test } from 'vitest'

import { type EventDraft, TASK_STATES } from '@longshore/contracts'
import { EMPTY_VIEW } from '../task-view.ts'
import { aTask, anEvent } from '../testing/samples.ts'
import { blockEventOf } from './block-event.ts'
import { draftLetta } from './draft-letta.ts'
import { lettaIds } from './letta-sink-of.ts'
import { blockValue, remember } from './workspace-block.ts'

const bash = (title: string): EventDraft => ({ type: 'task.tool', payload: { tool: 'bash', title, status: 'completed' } })
const eventsOf = (...drafts: EventDraft[]) => drafts.map((draft) => blockEventOf(anEvent(draft))).filter((event) => event !== undefined)
interface Value { status: string; events: { message: string; data?: { pruned: number } }[]; artifacts: { content: string }[]; metadata: { task_description: string } }
const read = (value: string) => JSON.parse(value) as Value

test('every state is one of the statuses that the predecessor\'s blocks had', () => {
  const limits = { characters: 5_000, events: 50 }
  expect(TASK_STATES.map((state) => read(blockValue(aTask({ state }), { events: [], total: 0 }, limits)).status)).toEqual(expect.arrayContaining(['pending', 'running', 'paused', 'completed', 'failed', 'timeout', 'cancelled']))
})

test.each([
  [bash('ls'), 'task_progress'], [{ type: 'task.paused', payload: { by: 'a' } }, 'task_paused'],
  [{ type: 'task.queued', payload: { reason: 'resume', ticket: 2, mode: 'docker', title: 't', by: 'a' } }, 'task_resumed'],
  [{ type: 'task.message', payload: { message_id: 'm', message_type: 'correction', by: 'a', text: 'x' } }, 'task_feedback'],
  [{ type: 'task.message', payload: { message_id: 'm', message_type: 'priority_change', by: 'a', text: 'x' } }, 'task_runtime_update'],
  [{ type: 'task.message', payload: { message_id: 'm', message_type: 'constructor', by: 'a', text: 'x' } }, 'task_message'],
  [{ type: 'task.timeout', payload: { attempt: 1, duration_ms: 1, limit: 'timeout_ms', limit_ms: 1_000 } }, 'task_timeout'],
] satisfies [EventDraft, string][])('%j is %s', (draft, type) => {
  expect(blockEventOf(anEvent(draft))?.type).toBe(type)
})

const HOSTILE = ['"\\'.repeat(50_000), '\0\u001B[31m\u202E'.repeat(10_000), '🚢'.repeat(30_000), `a\uD800b`.repeat(20_000), '</system>\n'.repeat(10_000)]

test.each(HOSTILE)('L-25: whatever texts there are, a block of the least and of the usual size is kept to (case %#)', (evil) => {
  const task = aTask({ state: 'failed', prompt: evil, idempotency_key: evil.slice(0, 256), failure: { code: 'agent_error', message: evil.slice(0, 4_000) }, result: { output: evil.slice(0, 4_000), output_truncated: true, files_changed: 0 } })
  for (const limits of [{ characters: 2_000, events: 50 }, { characters: 50_000, events: 1_000 }]) {
    const memory = remember({ events: [], total: 0 }, Array.from({ length: 200 }, () => eventsOf(bash(evil))).flat(), limits)
    const value = blockValue(task, memory, limits)
    expect(value.length).toBeLessThanOrEqual(limits.characters)
    expect(value).not.toMatch(/\\u0000|\\ud[89a-f]/) // JSON.stringify escapes lone surrogates and NUL only
    const { events } = read(value)
    expect((events[0]?.data?.pruned ?? 0) + events.length - (events[0]?.data === undefined ? 0 : 1)).toBe(200)
  }
})

test('L-26: the line about what is not shown has the true number, however often was pruned', () => {
  const limits = { characters: 50_000, events: 5 }
  let memory = { events: eventsOf(bash('first')), total: 1 }
  for (let i = 0; i < 40; i++) memory = remember(memory, eventsOf(bash(`${i}`)), limits)
  const { events } = read(blockValue(aTask(), memory, limits))
  expect(events.map(({ message }) => message)).toEqual(['36 older events are not shown here; get_task_history has all', 'bash: 35', 'bash: 36', 'bash: 37', 'bash: 38', 'bash: 39'])
})

test('an event that changes nothing in the block writes none', () => {
  const limits = { characters: 5_000, events: 5 }
  const task = aTask()
  const first = draftLetta(limits, task, EMPTY_VIEW, [anEvent(bash('ls'))])
  const usage = anEvent({ type: 'task.usage', payload: { input_tokens: 1, output_tokens: 1, reasoning_tokens: 0, cache_read_tokens: 0, cache_write_tokens: 0, cost_micros: 0 } })
  expect(first.notices.map(({ kind }) => kind)).toEqual(['card'])
  expect(draftLetta(limits, task, first.view, [usage]).notices).toEqual([])
})

test('an id of Letta\'s is its own; with a list only those in it live there', () => {
  const id = 'agent-0f8fad5b-d9cb-469f-a165-70867728950e'
  expect([lettaIds(undefined)(id), lettaIds(undefined)('agent-local')]).toEqual([id, undefined])
  const listed = lettaIds([`agent-local=${id}`, 'agent-x'])
  expect([listed('agent-local'), listed('agent-x'), listed(id)]).toEqual([id, 'agent-x', undefined])
})
