import { type Cursor, formatCursor, LongshoreError, parseCursor, START, type Task } from '@longshore/contracts'
import type { Page } from '@longshore/ledger'
import { z } from 'zod'
import { EventView, viewEvent } from './event-view.ts'
import { defineOperation, type Operation, type Ports } from './operation.ts'
import { StatusField, TaskIdParameter, Timestamp, toTimestamp } from './parameters.ts'
import { taskNotFound, visibleTask } from './visible-task.ts'

/** One answer must stay readable by a model and bounded in memory: an event is up to 16 KiB. */
const MAX_EVENTS_PER_ANSWER = 1_000
/** Characters of events after which an answer is full, whatever it was asked for; MCP sends them twice. */
const FULL_AT = 512 * 1024
/** Events read at once: what an answer can be larger than that. */
const STEP = 32

const Input = z.strictObject({
  task_id: TaskIdParameter,
  include_artifacts: z.boolean().default(false).describe('Also return the output and the error of a task that is over.'),
  events_limit: z.int().min(-1).default(100).describe(`How many events at most; -1 for as many as one answer holds (${MAX_EVENTS_PER_ANSWER}). Large events make it fewer: go on with next_cursor.`),
  events_offset: z.int().nonnegative().default(0).describe('How many events to skip from the beginning. Not together with cursor.'),
  cursor: z.string().max(64).optional().describe('Go on after the last event of an earlier answer: its next_cursor.'),
})

const Artifact = z.object({ timestamp: Timestamp, type: z.enum(['output', 'error']), name: z.string(), content: z.string() })

const Output = z.object({
  task_id: z.string(),
  status: StatusField,
  created_at: Timestamp,
  completed_at: Timestamp.optional(),
  events: z.array(EventView).describe('Oldest first.'),
  events_total: z.int().describe('Events of the task so far.'),
  events_returned: z.int(),
  events_offset: z.int().describe('Events before the first of this answer.'),
  has_more_events: z.boolean(),
  next_cursor: z.string().optional().describe('Give it as cursor to go on: nothing is lost and nothing comes twice. Absent only when no event was asked for.'),
  cursor_reset: z.object({ earliest_seq: z.int() }).optional().describe('Present when the cursor fits no longer; next_cursor begins at the earliest event that is kept.'),
  artifacts: z.array(Artifact).optional(),
})

/** A page of a task's log, from an offset or a cursor (G6). */
export function getTaskHistory(ports: Ports): Operation {
  return defineOperation({
    name: 'get_task_history',
    title: 'Task history',
    description: 'The events of a task in order, page by page. The log is kept after the task is over.',
    input: Input,
    output: Output,
    hints: { readOnlyHint: true, destructiveHint: false, idempotentHint: true, openWorldHint: false },
    scope: 'tasks',
    route: { method: 'GET', path: '/api/tasks/{task_id}/history' },
    isTool: true,
    async handle(input, call) {
      const start = startOf(input)
      const task = await visibleTask(ports, call, input.task_id)
      // At the log's end the record knows the id that makes an offset a cursor.
      const after = start.id === '' && start.seq >= task.seq ? { seq: task.seq, id: task.last_event_id } : start
      const limit = input.events_limit === -1 ? MAX_EVENTS_PER_ANSWER : Math.min(input.events_limit, MAX_EVENTS_PER_ANSWER)
      const page = limit === 0 ? { kind: 'events' as const, events: [], cursor: after, total: task.seq } : await readOn(ports.ledger, task.id, after, limit)
      if (page === undefined) throw taskNotFound(input.task_id)
      return { ...head(task), ...viewPage(page, after), ...(input.include_artifacts ? { artifacts: artifactsOf(task) } : {}) }
    },
  })
}

/** Step by step, so that neither memory nor answer grows with what events hold. */
async function readOn(ledger: Ports['ledger'], taskId: Task['id'], after: Cursor, limit: number): Promise<Page | undefined> {
  let page = await ledger.read(taskId, after, Math.min(limit, STEP))
  for (let size = sizeOf(page); page?.kind === 'events' && page.events.length < limit && page.cursor.seq < page.total && size < FULL_AT;) {
    const next = await ledger.read(taskId, page.cursor, Math.min(limit - page.events.length, STEP))
    if (next?.kind !== 'events' || next.events.length === 0) return page
    size += sizeOf(next)
    page = { ...next, events: [...page.events, ...next.events] }
  }
  return page
}

function sizeOf(page: Page | undefined): number {
  return page?.kind === 'events' ? page.events.reduce((sum, { payload }) => sum + JSON.stringify(payload).length, 0) : 0
}

function viewPage(page: Page, after: Cursor) {
  if (page.kind === 'cursor_reset') {
    const { earliest, total } = page
    return { events: [], events_total: total, events_returned: 0, events_offset: earliest.seq, has_more_events: true,
      next_cursor: formatCursor(START), cursor_reset: { earliest_seq: earliest.seq + 1 } }
  }
  const { events, cursor, total } = page
  return {
    events: events.map(viewEvent),
    events_total: total,
    events_returned: events.length,
    // Of a trimmed log the first that is kept is not the first that there was.
    events_offset: (events[0]?.seq ?? after.seq + 1) - 1,
    has_more_events: cursor.seq < total,
    ...(cursor.seq > 0 && cursor.id === '' ? {} : { next_cursor: formatCursor(cursor) }),
  }
}

/** @throws LongshoreError invalid_input */
function startOf(input: z.output<typeof Input>): Cursor {
  if (input.cursor === undefined) return { seq: input.events_offset, id: '' }
  if (input.events_offset > 0) throw new LongshoreError('invalid_input', 'events_offset and cursor exclude each other', { field: 'events_offset', next: 'Give one of the two.' })
  const cursor = parseCursor(input.cursor)
  if (cursor === undefined) throw new LongshoreError('invalid_input', 'cursor is not one that this server gave out', { field: 'cursor', next: 'Use next_cursor of an earlier answer, or leave it out to begin at the first event.' })
  return cursor
}

function head(task: Task) {
  return {
    task_id: task.id,
    status: task.state,
    created_at: toTimestamp(task.created_at),
    ...(task.ended_at === undefined ? {} : { completed_at: toTimestamp(task.ended_at) }),
  }
}

function artifactsOf({ result, failure, ended_at }: Task): z.output<typeof Artifact>[] {
  if (ended_at === undefined) return []
  const timestamp = toTimestamp(ended_at)
  return [
    ...(result === undefined ? [] : [{ timestamp, type: 'output' as const, name: 'execution_output', content: result.output }]),
    ...(failure === undefined ? [] : [{ timestamp, type: 'error' as const, name: 'execution_error', content: failure.message }]),
  ]
}
