import { z } from 'zod'

/** Ours are 30 characters; they are stored with the task. */
const Id = z.string().max(200)

/** What is read of OpenCode's messages. Unknown kinds of parts keep their id only. */
const Tokens = z.object({ input: z.number(), output: z.number(), reasoning: z.number(), cache: z.object({ read: z.number(), write: z.number() }) })

const TextPart = z.object({
  id: Id, type: z.literal('text'), text: z.string(), synthetic: z.boolean().optional(), ignored: z.boolean().optional(),
  time: z.object({ end: z.number().optional() }).optional(),
})
const ToolPart = z.object({
  id: Id, type: z.literal('tool'), tool: z.string(),
  state: z.object({
    status: z.enum(['pending', 'running', 'completed', 'error']),
    input: z.unknown(), title: z.string().optional(), output: z.string().optional(), error: z.string().optional(),
    time: z.object({ start: z.number(), end: z.number().optional() }).optional(),
  }),
})
const StepFinishPart = z.object({ id: Id, type: z.literal('step-finish'), cost: z.number(), tokens: Tokens })
const OtherPart = z.object({ id: Id, type: z.string() }).transform(({ id }) => ({ id, type: 'other' as const }))

export const Part = z.union([TextPart, ToolPart, StepFinishPart, OtherPart])
export type Part = z.infer<typeof Part>

/** Why a message failed: a name and whatever data comes with it. */
export const MessageError = z.object({
  name: z.string(),
  data: z.object({ message: z.string().optional(), statusCode: z.number().optional(), isRetryable: z.boolean().optional() }).catch({}),
})
export type MessageError = z.infer<typeof MessageError>

export const Message = z.object({
  info: z.object({
    id: Id, role: z.enum(['user', 'assistant']), error: MessageError.optional(), finish: z.string().optional(),
    /** Of an answer: the newest user message when it was begun. */
    parentID: Id.optional(),
    time: z.object({ created: z.number().optional(), completed: z.number().optional() }),
  }),
  parts: z.array(Part),
})
export type Message = z.infer<typeof Message>
