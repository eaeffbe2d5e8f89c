import { randomUUID } from 'node:crypto'

import { LongshoreError, MAX_METADATA_BYTES, MAX_WAITING_MESSAGES, MessageText, MessageType } from '@longshore/contracts'
import { z } from 'zod'
import { callerName, requireCapability, taskOver } from './controllable.ts'
import { defineOperation, type Operation, type Ports } from './operation.ts'
import { StatusField, TaskIdParameter, Timestamp, toTimestamp } from './parameters.ts'
import { taskNotFound, visibleTask } from './visible-task.ts'

const Metadata = z.record(z.string(), z.unknown()).refine((value) => sizeOf(value) <= MAX_METADATA_BYTES, { error: `must be at most ${MAX_METADATA_BYTES} bytes as JSON` })

/** In bytes as JSON; what is nested too deep to be written is too large. */
function sizeOf(value: object): number {
  try {
    return Buffer.byteLength(JSON.stringify(value))
  } catch {
    return Infinity
  }
}

const Output = z.object({
  task_id: z.string(),
  message_id: z.string().describe('Named again in the task\'s history when the message has reached the agent (task.message_delivered).'),
  status: StatusField,
  timestamp: Timestamp,
  message: z.string(),
})

/** A message waits in the task's mailbox until the agent has it; what never reached it is named in the result. */
export function sendTaskMessage(ports: Ports): Operation {
  return defineOperation({
    name: 'send_task_message',
    title: 'Tell a running agent something',
    description: 'Leaves a message for the agent that works on a task. It reads it at its next step; while the task is queued or paused the message waits.',
    input: z.strictObject({
      task_id: TaskIdParameter,
      message: MessageText.describe('What the agent is to know or do differently. At most 8 KiB.'),
      message_type: MessageType.default('update').describe('What the message is about; the agent reads it with the text.'),
      metadata: Metadata.optional().describe('Anything that belongs to it, as a JSON object of at most 2 KiB; the agent gets it with the text.'),
    }),
    output: Output,
    hints: { readOnlyHint: false, destructiveHint: false, idempotentHint: false, openWorldHint: false },
    scope: 'tasks',
    route: { method: 'POST', path: '/api/tasks/{task_id}/messages', status: 202 },
    isTool: true,
    async handle({ task_id, message, message_type, metadata }, call) {
      const task = await visibleTask(ports, call, task_id)
      await requireCapability(ports, task, 'steer')
      const message_id = `msg-${randomUUID()}`
      const answer = await ports.ledger.post(task.id, { message_id, message_type, by: callerName(call), text: message, ...(metadata === undefined ? {} : { metadata }) })
      if (answer === undefined) throw taskNotFound(task_id)
      if (answer.outcome === 'already_over') throw taskOver(answer.before)
      if (answer.outcome === 'full') throw mailboxFull()
      return { task_id: task.id, message_id, status: answer.before, timestamp: toTimestamp(ports.now()), message: WAITS[answer.before] ?? 'The agent reads it at its next step.' }
    },
  })
}

const WAITS: Readonly<Record<string, string>> = {
  queued: 'The agent reads it when the task runs.',
  paused: 'The agent reads it when the task is resumed.',
  input_required: 'The agent reads it when its question is answered.',
}

function mailboxFull(): LongshoreError {
  return new LongshoreError('overloaded', `the mailbox of this task is full: ${MAX_WAITING_MESSAGES} messages wait, or its history has no room left`, {
    field: 'message', next: 'Wait until it has read some (messages_waiting in get_task_status), or cancel the task.',
  })
}
