import { z } from 'zod'
import { Call } from './wish.ts'

const MAX_CALLS = 1_000
const MAX_INPUT_CHARACTERS = 64 * 1024
const Notification = z.object({ method: z.literal('session/update'), params: z.object({ update: Call.extend({ sessionUpdate: z.enum(['tool_call', 'tool_call_update']), status: z.string().nullish() }) }) })

/** What an agent has said of its tools that are under way: a request for permission need not say it again. */
export interface KnownCalls {
  heard(message: object): void
  /** With what was said before and is not said now. */
  complete(call: Call): Call
}

export function createKnownCalls(): KnownCalls {
  const known = new Map<string, Call>()
  const complete = (call: Call): Call => {
    const before = known.get(call.toolCallId)
    if (before === undefined) return call
    return {
      toolCallId: call.toolCallId, kind: call.kind ?? before.kind, name: call.name ?? before.name, title: call.title ?? before.title,
      rawInput: { ...fields(before.rawInput), ...fields(call.rawInput) }, locations: call.locations?.length ? call.locations : before.locations,
    }
  }
  return {
    heard: (message) => {
      const update = Notification.safeParse(message).data?.params.update
      if (update === undefined) return
      if (update.status === 'completed' || update.status === 'failed') known.delete(update.toolCallId)
      else if (known.has(update.toolCallId) || known.size < MAX_CALLS) known.set(update.toolCallId, complete(Call.parse({ ...update, rawInput: small(update.rawInput), locations: update.locations?.slice(0, 100) })))
    },
    complete,
  }
}

/** What is too large to keep is as if it had not been said. */
function small(input: unknown): unknown {
  return JSON.stringify([input]).length > MAX_INPUT_CHARACTERS ? undefined : input
}

function fields(input: unknown): object {
  return typeof input === 'object' && input !== null && !Array.isArray(input) ? input : {}
}
