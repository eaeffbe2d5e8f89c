import { hash } from 'node:crypto'

import type { AnyEvent, Task, TaskEvent } from '@longshore/contracts'
import { isEnd, type TaskDraft } from '../draft-notices.ts'
import type { Notice } from '../notice.ts'
import { type EndEvent, endOf, renderCompletion } from '../render/render-completion.ts'
import type { TaskView } from '../task-view.ts'
import { blockEventOf } from './block-event.ts'
import { type BlockLimits, BlockMemory, blockValue, labelOf, remember } from './workspace-block.ts'

const NOTHING: BlockMemory = { events: [], total: 0 }

/** The block as it is now, and the message of an ending; `plain` is what goes to Letta. */
export function draftLetta(limits: BlockLimits, task: Task, view: TaskView, events: readonly AnyEvent[]): TaskDraft {
  const memory = remember(BlockMemory.safeParse(view.memory).data ?? NOTHING, events.map(blockEventOf).filter((event) => event !== undefined), limits)
  const value = blockValue(task, memory, limits)
  const shown = hash('sha256', value, 'base64url').slice(0, 16)
  const last = events.at(-1)
  const notice = (kind: Notice['kind'], event: Pick<AnyEvent, 'id' | 'seq'>, more: Pick<Notice, 'plain' | 'status'>): Notice => ({ v: 1, kind, task_id: task.id, event_id: event.id, seq: event.seq, html: '', observers: [], block: value, agent_id: task.agent_id, ...more })
  const cards = last === undefined || shown === view.shown ? [] : [notice('card', last, { plain: '', status: task.state })]
  const known: TaskEvent[] = events.filter((event) => event.known)
  const endings = known.filter(isEnd).map((event) => notice('completion', event, { plain: messageOf(task, view, event), status: endOf(event) }))
  // After the end a block changes no more. The record may be over before its last event was read.
  const kept = endings.length > 0 ? { ...memory, events: memory.events.slice(-1) } : memory
  return { view: { ...view, shown, memory: kept }, notices: [...cards, ...endings] }
}

/** How our message is found again: nothing that an agent could have said before. */
export const markerOf = (eventId: string): string => `longshore:notice:${eventId}`

/** As letta-opencode-plugin wrote it, so that agents and their prompts know it. */
function messageOf(task: Task, view: TaskView, event: EndEvent): string {
  const exit = event.payload.result?.exit_code
  const lines = [
    renderCompletion(task, view, event).plain,
    `Task ${task.id}, status ${endOf(event)}${exit === undefined ? '' : `, exit code ${exit}`}`,
    `What led to it: get_task_history with this task id, or the memory block ${labelOf(task.id)}`,
  ]
  return JSON.stringify({ type: 'system_alert', message: lines.join('\n'), time: new Date(event.at).toISOString(), task_id: task.id, status: endOf(event), marker: markerOf(event.id) })
}
