import { z } from 'zod'

import { isOver, type Task, type TaskState } from '@longshore/contracts'
import { cleanText, lastPart } from '../render/safe-text.ts'
import { BlockEvent } from './block-event.ts'

/** What the sink keeps of a task's history between two events: the newest, and how many there were. */
export const BlockMemory = z.object({ events: z.array(BlockEvent), total: z.int().nonnegative() })
export type BlockMemory = z.infer<typeof BlockMemory>

export interface BlockLimits {
  /** Characters (WORKSPACE_BLOCK_LIMIT). */
  characters: number
  /** WORKSPACE_MAX_EVENTS. */
  events: number
}

/** The label under which an agent finds the block of its task. */
export const labelOf = (taskId: string): string => `opencode_workspace_${taskId}`

const STATUS: Readonly<Record<TaskState, string>> = {
  queued: 'pending', running: 'running', paused: 'paused', completed: 'completed', failed: 'failed', timeout: 'timeout', cancelled: 'cancelled',
  // The block knows no such status; `metadata.state` says it.
  input_required: 'paused',
}

export function remember(memory: BlockMemory, more: readonly BlockEvent[], limits: BlockLimits): BlockMemory {
  return { events: [...memory.events, ...more].slice(-limits.events), total: memory.total + more.length }
}

/**
 * The block's value, never over the limit (L-25): long texts get at most half of it, then the oldest events go. What went is said
 * with its true number (L-26); all of it is in the task's own history.
 */
export function blockValue(task: Task, memory: BlockMemory, { characters }: BlockLimits): string {
  const withoutEvents = (text: number) => valueOf(task, { events: [], total: memory.total }, text)
  let text = characters
  while (text > 0 && withoutEvents(text).length > characters / 2) text = Math.floor(text / 2)
  // As if all were gone: the line that says so is then the longest.
  let room = characters - withoutEvents(text).length
  const shown = memory.events.toReversed().findIndex((event) => (room -= JSON.stringify(event).length + 1) < 0)
  const newest = shown === -1 ? memory.events : memory.events.slice(memory.events.length - shown)
  return valueOf(task, { ...memory, events: newest }, text)
}

function valueOf(task: Task, { events, total }: BlockMemory, text: number): string {
  const gone = total - events.length
  const marker: BlockEvent[] = gone === 0 ? [] : [{ timestamp: task.created_at, type: 'task_progress', message: `${gone} older ${gone === 1 ? 'event is' : 'events are'} not shown here; get_task_history has all`, data: { pruned: gone } }]
  return JSON.stringify({
    version: '1.0.0',
    task_id: task.id,
    agent_id: task.agent_id,
    status: STATUS[task.state],
    created_at: task.created_at,
    updated_at: Math.max(events.at(-1)?.timestamp ?? 0, task.ended_at ?? 0, task.created_at),
    events: [...marker, ...events],
    artifacts: artifactsOf(task, text),
    metadata: {
      task_description: first(task.prompt, Math.min(text, 4_000)),
      ...(task.idempotency_key === undefined ? {} : { idempotency_key: first(task.idempotency_key, text) }),
      state: task.state, mode: task.mode, attempt: task.attempt, events_total: total,
    },
  })
}

function artifactsOf(task: Task, text: number): object[] {
  if (!isOver(task.state)) return []
  const timestamp = task.ended_at ?? task.created_at
  const output = lastPart(cleanText(task.result?.output ?? ''), text)
  const fault = task.failure === undefined ? '' : first(`${task.failure.code}: ${task.failure.message}`, text)
  return [
    ...(output === '' ? [] : [{ timestamp, type: 'output', name: 'execution_output', content: output }]),
    ...(fault === '' ? [] : [{ timestamp, type: 'error', name: 'execution_error', content: fault }]),
  ]
}

function first(words: string, most: number): string {
  const clean = cleanText(words.slice(0, most + 1))
  return clean.length <= most ? clean : `${clean.slice(0, Math.max(0, most - 1)).toWellFormed().replace(/\uFFFD$/, '')}…`.slice(0, most)
}
