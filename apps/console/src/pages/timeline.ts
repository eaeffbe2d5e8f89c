import type { AnyEvent, QueuedReason, TimeLimit } from '@longshore/contracts'
import { durationText, visible } from './words.ts'

/** A line of a task's timeline. `body`: what stands under it, as it came. */
export interface TimelineRow { seq: number; at: number; tone: 'turn' | 'good' | 'bad' | 'step' | 'words' | 'quiet'; label: string; detail: string; body?: string }

/** A task's events as lines for people; what the agent says in pieces becomes one line. */
export function timelineOf(events: readonly AnyEvent[]): TimelineRow[] {
  const rows: TimelineRow[] = []
  for (const event of events) {
    const row = rowOf(event)
    const last = rows.at(-1)
    if (row.tone === 'words' && last?.tone === 'words' && last.label === row.label) last.body = `${last.body ?? ''}${row.body ?? ''}`
    else rows.push(row)
  }
  return rows
}

type Words = Omit<TimelineRow, 'seq' | 'at'>

function rowOf(event: AnyEvent): TimelineRow {
  const words = event.known ? wordsOf(event) : line('quiet', event.type, 'an event of a newer version')
  return { seq: event.seq, at: event.at, ...words, label: visible(words.label), detail: visible(words.detail), ...(words.body === undefined ? {} : { body: visible(words.body) }) }
}

const line = (tone: Words['tone'], label: string, detail: string, body?: string): Words => ({ tone, label, detail, ...(body === undefined || body === '' ? {} : { body }) })

const QUEUED: Readonly<Record<QueuedReason, string>> = {
  submitted: 'submitted', retry: 'to be tried again', resume: 'resumed', answer: 'answered', handover: 'handed over by its worker', ticket_lost: 'its ticket was lost and replaced',
}
const LIMITS: Readonly<Record<TimeLimit, string>> = { timeout_ms: 'the time to run was over', queue_ttl_ms: 'no worker started it in time', paused_ttl_ms: 'it was paused for too long' }

function wordsOf(event: AnyEvent & { known: true }): Words {
  switch (event.type) {
    case 'task.queued': return line('turn', 'Queued', `${QUEUED[event.payload.reason]}${event.payload.by === undefined ? '' : ` by ${event.payload.by}`}, ${event.payload.mode} mode`)
    case 'task.started': return line('turn', 'Started', `attempt ${event.payload.attempt} on ${event.payload.worker}${event.payload.isolation === undefined ? '' : `, isolation ${event.payload.isolation}`}`)
    case 'task.resumed': return line('turn', 'Resumed', `the session goes on under ${event.payload.worker}`, event.payload.detail)
    case 'task.adopted': return line('turn', 'Adopted', `the run goes on under ${event.payload.worker}; nothing was started again`)
    case 'task.retrying': return line('bad', 'Retrying', `attempt ${event.payload.attempt} failed with ${event.payload.failure.code}; again ${event.payload.delay_ms === 0 ? 'at once' : `in ${durationText(event.payload.delay_ms)}`}`, event.payload.failure.message)
    case 'task.output': return line('words', event.payload.stream === 'agent' ? 'Agent' : event.payload.stream, '', event.payload.text)
    case 'task.tool': return line(event.payload.status === 'error' ? 'bad' : 'step', event.payload.tool, `${event.payload.title}${event.payload.duration_ms === undefined ? '' : ` (${durationText(event.payload.duration_ms)})`}`, [event.payload.input, event.payload.output].filter((text) => text !== undefined && text !== '').join('\n→ '))
    case 'task.file_changed': return line('step', `File ${event.payload.change}`, event.payload.path)
    case 'task.usage': return line('quiet', 'Usage', `${event.payload.input_tokens} tokens in, ${event.payload.output_tokens} out`)
    case 'task.message': return line('step', 'Message', `${event.payload.message_type} from ${event.payload.by}`, event.payload.text)
    case 'task.message_delivered': return line('quiet', 'Message delivered', event.payload.message_id)
    case 'task.input_required': return line('turn', 'Needs an answer', event.payload.choices.join(', '), event.payload.question)
    case 'task.input_answered': return line('step', 'Answered', `${event.payload.answer} by ${event.payload.by}`)
    case 'task.paused': return line('turn', 'Paused', `by ${event.payload.by}`, event.payload.reason)
    case 'task.completed': return line('good', 'Completed', `after ${durationText(event.payload.duration_ms)}, ${event.payload.result.files_changed} files changed`)
    case 'task.failed': return line('bad', 'Failed', event.payload.failure.code, event.payload.failure.message)
    case 'task.timeout': return line('bad', 'Timed out', `${LIMITS[event.payload.limit]}: ${durationText(event.payload.limit_ms)} (${event.payload.limit})`)
    case 'task.cancelled': return line('turn', 'Cancelled', `by ${event.payload.by}`, event.payload.reason)
  }
}
