import { z } from 'zod'

import { MAX_MESSAGE_BYTES } from './limits.ts'

/** What can be asked of a task while it is not over. The predecessor's words. */
export const Control = z.enum(['cancel', 'pause', 'resume'])
export type Control = z.infer<typeof Control>

/** What becomes of a task that stays paused for too long. */
export const PausedEnd = z.enum(['timeout', 'cancel', 'resume'])
export type PausedEnd = z.infer<typeof PausedEnd>

/** What a message to an agent is about. The predecessor's words; the agent reads them, nothing here acts on them. */
export const MessageType = z.enum(['update', 'feedback', 'context_change', 'requirement_change', 'priority_change', 'clarification', 'correction', 'guidance', 'approval'])
export type MessageType = z.infer<typeof MessageType>

/** Counted in bytes, as an event is. */
export const MessageText = z
  .string()
  .refine((text) => text.trim() !== '', { error: 'must not be empty' })
  .refine((text) => Buffer.byteLength(text) <= MAX_MESSAGE_BYTES, { error: `must be at most ${MAX_MESSAGE_BYTES} bytes (8 KiB) of UTF-8` })
  .refine((text) => text.isWellFormed(), { error: 'must be well-formed Unicode, without lone surrogates' })

/** What somebody tells an agent, as it waits in its task's mailbox. */
export const Mail = z.object({
  message_id: z.string(),
  /** Another build may know more types. */
  message_type: z.string(),
  by: z.string(),
  text: z.string(),
  /** What the sender's program knows besides; the agent gets it as JSON. */
  metadata: z.record(z.string(), z.unknown()).optional(),
})
export type Mail = z.infer<typeof Mail>
