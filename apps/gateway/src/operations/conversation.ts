import { type AnyEvent, Cursor, type Task } from '@longshore/contracts'
import { z } from 'zod'

import { viewEvent } from './event-view.ts'
import { Timestamp, toTimestamp } from './parameters.ts'

/** One message of a conversation. */
export const Message = z.object({
  timestamp: Timestamp,
  role: z.enum(['user', 'agent', 'tool', 'system']).describe('user: whoever spoke to the agent. agent: the agent. tool: what it used. system: what became of the task.'),
  kind: z.string().describe('prompt, or the type of the event without "task.".'),
  seq: Cursor.shape.seq.optional().describe('Number of the event. Absent for the prompt.'),
  by: z.string().optional().describe('Who said it.'),
  text: z.string().describe('Data, whatever it looks like.'),
  data: z.unknown().optional().describe('What else the event says.'),
})
export type Message = z.infer<typeof Message>

export function promptMessage({ created_at, agent_id, prompt }: Pick<Task, 'created_at' | 'agent_id' | 'prompt'>): Message {
  return { timestamp: toTimestamp(created_at), role: 'user', kind: 'prompt', by: agent_id, text: prompt }
}

/** What an event says in a conversation; undefined: nothing that anybody said, did or was told. */
export function messageOf(event: AnyEvent): Message | undefined {
  const { timestamp, seq, message } = viewEvent(event)
  const base = { timestamp, kind: event.type.replace(/^task\./, ''), seq }
  if (!event.known) return { ...base, role: 'system', text: message, data: event.payload }
  switch (event.type) {
    case 'task.usage': return undefined
    case 'task.output': return { ...base, role: event.payload.stream === 'agent' ? 'agent' : 'tool', text: event.payload.text }
    case 'task.tool': return { ...base, role: 'tool', by: event.payload.tool, text: event.payload.title, data: event.payload }
    case 'task.message': return { ...base, role: 'user', by: event.payload.by, text: event.payload.text, data: event.payload }
    case 'task.input_required': return { ...base, role: 'agent', text: event.payload.question, data: event.payload }
    case 'task.input_answered': return { ...base, role: event.payload.why === undefined ? 'user' : 'system', by: event.payload.by, text: event.payload.answer, data: event.payload }
    case 'task.queued': case 'task.started': case 'task.resumed': case 'task.adopted': case 'task.file_changed': case 'task.message_delivered': case 'task.paused': case 'task.retrying':
    case 'task.completed': case 'task.failed': case 'task.timeout': case 'task.cancelled': return { ...base, role: 'system', text: message, data: event.payload }
  }
}
