import { z } from 'zod'
import type { ChatMessage } from './script.ts'

const Content = z.union([z.string(), z.array(z.object({ type: z.string(), text: z.string().optional() })), z.null()])

/** What is read of an OpenAI chat completion request. */
export const ChatRequest = z.object({
  model: z.string(),
  messages: z.array(z.object({ role: z.string(), content: Content.optional() })),
  tools: z.array(z.object({ function: z.object({ name: z.string() }) })).optional(),
})
export type ChatRequest = z.infer<typeof ChatRequest>

/** The messages with their text parts joined. */
export function messagesOf(request: ChatRequest): ChatMessage[] {
  return request.messages.map(({ role, content }) => ({
    role,
    text: typeof content === 'string' ? content : (content ?? []).map((part) => part.text ?? '').join('\n'),
  }))
}

/** Writes the lines of one streamed completion: the same id and model in each. */
export function chunkWriter(id: string, model: string): { delta(delta: object): string; end(finish: string, usage: { input: number; output: number }): string } {
  const line = (body: object): string => `data: ${JSON.stringify({ id, object: 'chat.completion.chunk', created: 0, model, ...body })}\n\n`
  return {
    delta: (delta) => line({ choices: [{ index: 0, delta, finish_reason: null }] }),
    end: (finish, { input, output }) =>
      line({ choices: [{ index: 0, delta: {}, finish_reason: finish }] }) +
      line({ choices: [], usage: { prompt_tokens: input, completion_tokens: output, total_tokens: input + output } }) +
      'data: [DONE]\n\n',
  }
}
