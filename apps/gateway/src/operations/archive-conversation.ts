import { type Archived, isOver, LongshoreError, MAX_SUMMARY_CHARACTERS, type Task } from '@longshore/contracts'
import { z } from 'zod'
import { callerName } from './controllable.ts'
import { Message } from './conversation.ts'
import { documentOf, messagesIn } from './conversation-document.ts'
import { defineOperation, type Operation, type Ports } from './operation.ts'
import { TaskIdParameter, Timestamp, toTimestamp } from './parameters.ts'
import { FILES_PATIENCE_MS } from './task-files-port.ts'
import { taskNotFound, visibleTask } from './visible-task.ts'

const Summary = z.string().max(MAX_SUMMARY_CHARACTERS, `at most ${MAX_SUMMARY_CHARACTERS} characters`).refine((text) => text.isWellFormed(), 'must be well-formed Unicode, without lone surrogates')

const ArchiveView = z.object({
  task_id: z.string(),
  archived_at: Timestamp,
  archived_by: z.string(),
  archive_location: z.string().describe('On this gateway: GET it with the header authorization: Bearer <key>; get_task_conversation reads it.'),
  message_count: z.int(),
  bytes: z.int().describe('Of the document.'),
  summary: z.string().optional(),
})

function viewArchive(id: Task['id'], { at, by, messages, bytes, summary }: Archived): z.infer<typeof ArchiveView> {
  return { task_id: id, archived_at: toTimestamp(at), archived_by: by, archive_location: `/api/tasks/${id}/conversation`, message_count: messages, bytes, ...(summary === undefined ? {} : { summary }) }
}

/** L-27: works after every end, a timeout included, without any worker; once. The document is put before the record names it: cut short, nothing is seen of it. */
export function archiveTaskConversation(ports: Ports): Operation {
  return defineOperation({
    name: 'archive_task_conversation',
    title: 'Archive a conversation',
    description: 'Keeps the conversation of a task that is over as one document, for longer than what tasks leave is kept: prompt, messages, questions and answers, what the agent said and did, what became of the task. Archived once; asking again answers the archive that there is.',
    input: z.strictObject({ task_id: TaskIdParameter, summary: Summary.optional().describe('What is to be said about it; kept with the document.') }),
    output: z.object({ ...ArchiveView.shape, outcome: z.enum(['archived', 'unchanged']).describe('unchanged: it was archived before, and its summary stands.') }),
    hints: { readOnlyHint: false, destructiveHint: false, idempotentHint: true, openWorldHint: false },
    scope: 'tasks',
    route: { method: 'POST', path: '/api/tasks/{task_id}/conversation' },
    isTool: true,
    patienceMs: () => FILES_PATIENCE_MS,
    async handle({ task_id, summary }, call) {
      const task = await visibleTask(ports, call, task_id)
      if (!isOver(task.state)) throw notOver(task)
      if (task.archived !== undefined) return { ...viewArchive(task.id, task.archived), outcome: 'unchanged' as const }
      const by = callerName(call)
      const document = documentOf(ports.ledger, task, { by, summary, now: ports.now() })
      const { edition, bytes } = await ports.conversations.put(task.id, document.content)
      const stands = await ports.ledger.saveArchived(task.id, { by, ...(summary === undefined ? {} : { summary }), edition, bytes, messages: document.count() })
      if (stands?.edition !== edition) await ports.conversations.drop(task.id, edition)
      if (stands === undefined) throw taskNotFound(task_id)
      return { ...viewArchive(task.id, stands), outcome: stands.edition === edition ? 'archived' as const : 'unchanged' as const }
    },
  })
}

/** Characters of messages after which an answer is full; MCP sends them twice. */
const FULL_AT = 256 * 1024

export function getTaskConversation(ports: Ports): Operation {
  return defineOperation({
    name: 'get_task_conversation',
    title: 'Archived conversation',
    description: 'Reads the archived conversation of a task, message by message. Over HTTP it is the whole document (GET).',
    input: z.strictObject({
      task_id: TaskIdParameter,
      offset: z.int().min(0).default(0).describe('How many messages to skip: next_offset of an earlier answer.'),
      limit: z.int().min(1).max(1_000).default(100).describe('How many messages at most. Large ones make it fewer: go on with next_offset.'),
    }),
    output: z.object({ ...ArchiveView.shape, messages: z.array(Message).describe('Oldest first.'), has_more: z.boolean(), next_offset: z.int() }),
    hints: { readOnlyHint: true, destructiveHint: false, idempotentHint: true, openWorldHint: false },
    scope: 'tasks',
    route: { method: 'GET', path: '/api/tasks/{task_id}/conversation' },
    isTool: true,
    patienceMs: () => FILES_PATIENCE_MS,
    async handle({ task_id, offset, limit }, call) {
      const { task, archived } = archivedTask(await visibleTask(ports, call, task_id))
      const messages = await messagesIn(await ports.conversations.get(task.id, archived.edition), offset, limit, FULL_AT)
      const next = offset + messages.length
      return { ...viewArchive(task.id, archived), messages, has_more: messages.length > 0 && next < archived.messages, next_offset: next }
    },
    async download({ task_id }, call) {
      const { task, archived } = archivedTask(await visibleTask(ports, call, task_id))
      const body = await ports.conversations.get(task.id, archived.edition)
      return { status: 200, headers: { 'content-type': 'application/json', 'content-length': String(archived.bytes), 'content-disposition': `attachment; filename="${task.id}.conversation.json"` }, body }
    },
  })
}

/** @throws LongshoreError file_not_found */
function archivedTask(task: Task): { task: Task; archived: Archived } {
  const { archived } = task
  if (archived === undefined) throw new LongshoreError('file_not_found', 'the conversation of this task was not archived', { field: 'task_id', next: 'get_task_history has its events. archive_task_conversation archives it once it is over.' })
  if (archived.gone !== undefined) throw new LongshoreError('file_not_found', `the archived conversation was removed on ${toTimestamp(archived.gone.at)}: ${WHY[archived.gone.why]}`, { field: 'task_id', next: 'get_task_history may still have its events.' })
  return { task, archived }
}

const WHY = {
  retention: 'it was kept for as long as this deployment keeps archives (ARCHIVE_RETENTION_DAYS)',
  total_bytes: 'the archive was full (ARCHIVE_TOTAL_BYTES), and it was the oldest',
  agent_bytes: 'its agent had used up what is kept for one (BLOB_AGENT_BYTES), and it was the oldest',
} as const

function notOver({ state }: Task): LongshoreError {
  return new LongshoreError('not_supported', `only the conversation of a task that is over can be archived; it is ${state}`, { field: 'task_id', next: 'Wait for its end, or take what there is so far with export_task.' })
}
