import { type AnyEvent, EVENT_TYPES, type EventPayload } from '@longshore/contracts'
import { z } from 'zod'
import { Timestamp, toTimestamp } from './parameters.ts'

/** An event of a task's log as callers see it. */
export const EventView = z.object({
  seq: z.int().describe('1, 2, 3, … without a gap'),
  id: z.string(),
  timestamp: Timestamp,
  type: z.string().describe(`One of ${EVENT_TYPES.join(', ')}; or a newer type, to be passed on.`),
  message: z.string().describe('One line for people.'),
  data: z.unknown().describe('What the event says; its fields depend on the type.'),
})
export type EventView = z.infer<typeof EventView>

export function viewEvent(event: AnyEvent): EventView {
  return { seq: event.seq, id: event.id, timestamp: toTimestamp(event.at), type: event.type, message: sayEvent(event), data: event.payload }
}

/** One line; never longer than a line should be. */
function sayEvent(event: AnyEvent): string {
  const line = event.known ? sayKnown(event) : event.type
  return line.length <= 300 ? line : `${line.slice(0, 299)}…`.toWellFormed()
}

function sayKnown(event: Extract<AnyEvent, { known: true }>): string {
  switch (event.type) {
    case 'task.queued': return `queued (${event.payload.reason}${event.payload.by === undefined ? '' : ` by ${event.payload.by}`}) for ${event.payload.mode}`
    case 'task.started': return `attempt ${event.payload.attempt} started on ${event.payload.worker} in ${event.payload.mode} mode`
    case 'task.resumed': return `attempt ${event.payload.attempt} resumed on ${event.payload.worker}: ${firstLine(event.payload.detail)}`
    case 'task.adopted': return `attempt ${event.payload.attempt} adopted by ${event.payload.worker}: what it ran was found and goes on`
    case 'task.output': return firstLine(event.payload.text)
    case 'task.tool': return `${event.payload.tool}: ${firstLine(event.payload.title)} (${event.payload.status})`
    case 'task.file_changed': return `${event.payload.change} ${event.payload.path}`
    case 'task.usage': return `${event.payload.input_tokens} tokens in, ${event.payload.output_tokens} out`
    case 'task.message': return `message from ${event.payload.by}: ${firstLine(event.payload.text)}`
    case 'task.message_delivered': return `message ${event.payload.message_id} reached the agent`
    case 'task.input_required': return `waits for an answer: ${firstLine(event.payload.question)}`
    case 'task.input_answered': return sayAnswer(event.payload)
    case 'task.paused': return `paused by ${event.payload.by}${event.payload.reason === undefined ? '' : `: ${firstLine(event.payload.reason)}`}`
    case 'task.retrying': return `attempt ${event.payload.attempt} failed (${event.payload.failure.code}); the next one ${event.payload.delay_ms === 0 ? 'at once' : `in ${event.payload.delay_ms} ms`}: ${firstLine(event.payload.failure.message)}`
    case 'task.completed': return `completed in ${event.payload.duration_ms} ms`
    case 'task.failed': return `failed (${event.payload.failure.code}): ${firstLine(event.payload.failure.message)}`
    case 'task.timeout': return `ended by ${event.payload.limit} (${event.payload.limit_ms} ms)`
    case 'task.cancelled': return `cancelled by ${event.payload.by}${event.payload.reason === undefined ? '' : `: ${firstLine(event.payload.reason)}`}`
  }
}

function sayAnswer({ why, by, answer }: EventPayload<'task.input_answered'>): string {
  if (why === 'withdrawn') return 'the agent does not ask that any more'
  return `${why === 'expired' ? 'nobody answered in time; the policy' : by} answered: ${firstLine(answer) || 'go on without'}`
}

function firstLine(text: string): string {
  return text.split('\n').find((line) => line.trim() !== '')?.trim() ?? ''
}
