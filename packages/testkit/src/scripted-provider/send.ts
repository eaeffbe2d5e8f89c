import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import type { Reply } from './reply.ts'
import { type ChatRequest, chunkWriter } from './wire.ts'

/** Puts a turn on the wire as one streamed completion, or as a failure. */
export async function send(response: ServerResponse, replies: readonly Reply[], request: ChatRequest): Promise<void> {
  const [first] = replies
  if (first?.kind === 'status') {
    // Clients that retry would wait seconds by themselves; a script has no need to.
    response.setHeader('retry-after-ms', '200')
    return json(response, first.code, { error: { message: `the script asked for status ${first.code}`, type: 'scripted', code: String(first.code) } })
  }
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
  response.flushHeaders()
  const gone = new AbortController()
  response.once('close', () => gone.abort())
  const write = chunkWriter(`scripted-${randomUUID()}`, request.model)
  let [output, finish] = [0, 'stop']
  for (const reply of replies) {
    if (reply.kind === 'hang' || gone.signal.aborted) return
    if (reply.kind === 'tool') {
      const args = JSON.stringify(reply.input)
      response.write(write.delta({ role: 'assistant', content: null }))
      response.write(write.delta({ tool_calls: [{ index: 0, id: `call_${randomUUID().replaceAll('-', '')}`, type: 'function', function: { name: reply.name, arguments: args } }] }))
      output += Math.ceil(args.length / 4)
      finish = 'tool_calls'
    } else if (reply.kind === 'text') {
      await say(response, reply, (content) => write.delta({ role: 'assistant', content }), gone.signal)
      output += reply.chunks.length
      // A client's loop goes on only after a turn that called tools: that is how a turn of words is followed by another.
      if (reply.goesOn) finish = 'tool_calls'
    }
  }
  if (!gone.signal.aborted) response.end(write.end(finish, { input: Math.ceil(JSON.stringify(request.messages).length / 4), output }))
}

async function say(response: ServerResponse, { chunks, waitMs, pauseMs }: Reply & { kind: 'text' }, line: (content: string) => string, signal: AbortSignal): Promise<void> {
  if (waitMs > 0) await delay(waitMs, undefined, { signal }).catch(() => {})
  for (const content of chunks) {
    if (pauseMs > 0) await delay(pauseMs, undefined, { signal }).catch(() => {})
    if (signal.aborted) return
    if (!response.write(line(content))) await Promise.race([once(response, 'drain'), once(response, 'close')])
  }
}

export function json(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(body))
}
