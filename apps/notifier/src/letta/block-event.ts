import { z } from 'zod'

import type { AnyEvent } from '@longshore/contracts'
import { sayLimit } from '../render/advice.ts'
import { cleanLine } from '../render/safe-text.ts'

/** What events are called in a workspace block; agents and their prompts know these names from letta-opencode-plugin. */
const BLOCK_EVENT_TYPES = [
  'task_started', 'task_progress', 'task_completed', 'task_failed', 'task_timeout', 'task_paused', 'task_resumed', 'task_cancelled', 'task_control', 'task_message', 'task_feedback', 'task_runtime_update',
] as const

/** One line of a block's history. `timestamp` in ms. */
export const BlockEvent = z.object({ timestamp: z.int(), type: z.enum(BLOCK_EVENT_TYPES), message: z.string(), data: z.record(z.string(), z.unknown()).optional() })
export type BlockEvent = z.infer<typeof BlockEvent>

const LINE = 400

/** undefined: of no interest to the agent that gave the task. */
export function blockEventOf(event: AnyEvent): BlockEvent | undefined {
  if (!event.known) return undefined
  const say = (type: BlockEvent['type'], message: string, data?: Record<string, unknown>): BlockEvent => ({ timestamp: event.at, type, message: cleanLine(message, LINE), ...(data === undefined ? {} : { data }) })
  switch (event.type) {
    case 'task.queued': return event.payload.reason === 'resume' ? say('task_resumed', `Resumed${by(event.payload.by)}; waits for a worker`) : say('task_progress', `Queued (${event.payload.reason})`)
    case 'task.started': return say('task_started', `Attempt ${event.payload.attempt} started in ${event.payload.mode} mode`, { attempt: event.payload.attempt })
    case 'task.resumed': return say('task_resumed', `Resumed: ${event.payload.detail}`)
    case 'task.adopted': return say('task_progress', 'Taken over by another worker; the run goes on')
    case 'task.tool': return say('task_progress', `${event.payload.tool}: ${event.payload.title}`, event.payload.status === 'error' ? { status: 'error' } : undefined)
    case 'task.file_changed': return say('task_progress', `File ${event.payload.change}: ${event.payload.path}`)
    case 'task.message': return say(MAIL.get(event.payload.message_type) ?? 'task_message', `[${event.payload.message_type}] ${event.payload.text}`, { message_id: event.payload.message_id })
    case 'task.message_delivered': return say('task_message', `The agent has message ${event.payload.message_id}`, { message_id: event.payload.message_id })
    case 'task.input_required': return say('task_progress', `Needs an answer: ${event.payload.question}`, { input_id: event.payload.input_id, choices: event.payload.choices.slice(0, 10).map((choice) => cleanLine(choice, 80)) })
    case 'task.input_answered': return say('task_feedback', `Answered: ${event.payload.answer}`, { input_id: event.payload.input_id })
    case 'task.paused': return say('task_paused', `Paused${by(event.payload.by)}${because(event.payload.reason)}`)
    case 'task.retrying': return say('task_progress', `Attempt ${event.payload.attempt} failed (${event.payload.failure.code}), to be tried again: ${event.payload.failure.message}`)
    case 'task.completed': return say('task_completed', 'Completed', { duration_ms: event.payload.duration_ms })
    case 'task.failed': return say('task_failed', `Failed (${event.payload.failure.code}): ${event.payload.failure.message}`, { duration_ms: event.payload.duration_ms })
    case 'task.timeout': return say('task_timeout', sayLimit(event.payload.limit, event.payload.limit_ms), { duration_ms: event.payload.duration_ms })
    case 'task.cancelled': return say('task_cancelled', `Cancelled${by(event.payload.by)}${because(event.payload.reason)}`)
    case 'task.output': case 'task.usage': return undefined
  }
}

const by = (who: string | undefined): string => (who === undefined ? '' : ` by ${who}`)
const because = (reason: string | undefined): string => (reason === undefined ? '' : `: ${reason}`)

/** How the predecessor filed its nine types of messages. */
const MAIL: ReadonlyMap<string, BlockEvent['type']> = new Map([
  ['update', 'task_progress'],
  ...(['feedback', 'clarification', 'correction', 'guidance', 'approval'] as const).map((type) => [type, 'task_feedback'] as const),
  ...(['context_change', 'requirement_change', 'priority_change'] as const).map((type) => [type, 'task_runtime_update'] as const),
])
