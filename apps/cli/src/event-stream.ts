import { EventSourceParserStream, type EventSourceMessage } from 'eventsource-parser/stream'

/** A gateway shows at least every 15 s that it lives, by default; one whose machine died does not, and says nothing of it. */
const SILENT_MS = 60_000

/** The events of a stream. @throws when it breaks off, or is silent for too long */
export async function* readEventStream(response: Response, signal: AbortSignal): AsyncGenerator<EventSourceMessage> {
  if (response.body === null) return
  const silent = new AbortController()
  let timer = setTimeout(() => silent.abort(), SILENT_MS)
  const heard = new TransformStream<Uint8Array, Uint8Array>({
    transform(piece, controller) {
      clearTimeout(timer)
      timer = setTimeout(() => silent.abort(), SILENT_MS)
      controller.enqueue(piece)
    },
  })
  try {
    yield* response.body
      .pipeThrough(heard, { signal: AbortSignal.any([signal, silent.signal]) })
      .pipeThrough(new TextDecoderStream())
      .pipeThrough(new EventSourceParserStream())
  } finally {
    clearTimeout(timer)
  }
}
