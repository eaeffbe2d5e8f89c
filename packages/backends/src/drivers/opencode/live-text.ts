import { z } from 'zod'
import type { StreamEvent } from './stream.ts'

/** The server stores a text part when it is finished; what of it is written meanwhile is only in the stream. */
const Started = z.object({ part: z.object({ id: z.string(), sessionID: z.string(), type: z.literal('text'), text: z.literal('') }) })
const Delta = z.object({ sessionID: z.string(), partID: z.string(), field: z.literal('text'), delta: z.string() })
/** Beyond this a part's text is shown when it is finished. */
const MAX_LIVE_CHARACTERS = 1024 * 1024

/** Texts of the session's unfinished parts, for those whose beginning was heard. */
export interface LiveText {
  readonly texts: ReadonlyMap<string, string>
  hear(event: StreamEvent): void
  /** After a gap in the stream no text is known to be whole. */
  forget(): void
}

export function createLiveText(sessionId: string): LiveText {
  const texts = new Map<string, string>()
  return {
    texts,
    forget: () => texts.clear(),
    hear: ({ type, properties }) => {
      if (type === 'message.part.updated') {
        const started = Started.safeParse(properties).data?.part
        if (started?.sessionID === sessionId) {
          texts.clear() // one text is written at a time
          texts.set(started.id, '')
        }
      }
      if (type !== 'message.part.delta') return
      const delta = Delta.safeParse(properties).data
      const text = delta === undefined ? undefined : texts.get(delta.partID)
      if (delta?.sessionID !== sessionId || text === undefined) return
      if (text.length > MAX_LIVE_CHARACTERS) texts.delete(delta.partID)
      else texts.set(delta.partID, text + delta.delta)
    },
  }
}
