import { type Cursor, formatCursor, isOver, LongshoreError, parseCursor, START, type Task } from '@longshore/contracts'
import { z } from 'zod'
import { defineOperation, type Live, type Operation, type Ports } from './operation.ts'
import { TaskIdParameter } from './parameters.ts'
import { visibleTask } from './visible-task.ts'

export const CursorParameter = z.string().max(64).optional()
  .describe('Go on after this event: the id of the last one received, or next_cursor of a history. now: only what comes from now on. Default: from the first. A Last-Event-ID header counts before it.')

/** A task's log as a stream of server-sent events (G6). */
export function watchTask(ports: Ports): Operation {
  return defineOperation({
    name: 'watch_task',
    title: 'Watch a task',
    description: 'The events of a task as they come, from a cursor, until it is over.',
    input: z.strictObject({ task_id: TaskIdParameter, cursor: CursorParameter }),
    output: z.object({}),
    hints: { readOnlyHint: true, destructiveHint: false, idempotentHint: true, openWorldHint: false },
    scope: 'tasks',
    route: { method: 'GET', path: '/api/tasks/{task_id}/events' },
    isTool: false,
    handle: () => Promise.resolve({}),
    async live({ task_id, cursor }, call, lastEventId): Promise<Live> {
      const asked = cursorOf(cursor, lastEventId)
      const task = await visibleTask(ports, call, task_id)
      const start = asked === 'now' ? endOf(task) : asked
      return { kind: 'live', topic: task.id, cursor: formatCursor(start), isOver: isOver(task.state) && isSame(start, endOf(task)) }
    },
  })
}

const endOf = (task: Task): Cursor => ({ seq: task.seq, id: task.last_event_id })
const isSame = (one: Cursor, two: Cursor) => one.seq === two.seq && one.id === two.id

/** @throws LongshoreError invalid_input */
function cursorOf(cursor: string | undefined, lastEventId: string | undefined): Cursor | 'now' {
  // A browser that comes back sends the header beside the query that it began with.
  const [field, text] = lastEventId === undefined ? ['cursor', cursor] : ['Last-Event-ID', lastEventId]
  if (text === undefined) return START
  if (text === 'now' && field === 'cursor') return 'now'
  const parsed = parseCursor(text)
  if (parsed === undefined) throw new LongshoreError('invalid_input', `${field} is not one that this server gave out`, { field, next: 'Use the id of an event of this task, or leave it out to begin at the first.' })
  return parsed
}
