import type { IncomingMessage, ServerResponse } from 'node:http'

import { untilDrained } from './watching/until-drained.ts'

/** A node request whose body was read before, as the MCP handler takes it. */
export function toWebRequest(request: IncomingMessage): Request {
  const headers = new Headers()
  for (const [name, value] of Object.entries(request.headers)) {
    if (typeof value === 'string') headers.set(name, value)
  }
  return new Request(`http://localhost${request.url ?? '/'}`, { method: request.method ?? 'GET', headers })
}

/** Streams a web response; stops reading when the client is gone, or takes nothing for `stallMs`: what it is sent would heap up. */
export async function sendWebResponse(response: Response, out: ServerResponse, stallMs: number): Promise<void> {
  const headers = Object.fromEntries(response.headers)
  // What is no stream goes out in one write, with its length.
  if (headers['content-type'] !== 'text/event-stream') {
    const body = Buffer.from(await response.arrayBuffer())
    out.writeHead(response.status, { ...headers, 'content-length': body.byteLength }).end(body)
    return
  }
  const reader = (response.body ?? new ReadableStream<Uint8Array>()).getReader()
  // Who went away while the answer was made closes nothing any more: what follows a log for them ends here.
  if (out.destroyed) return void (await reader.cancel().catch(() => undefined))
  out.writeHead(response.status, headers)
  out.once('close', () => void reader.cancel().catch(() => undefined))
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    if (out.writableEnded) return
    if (!out.write(next.value) && !out.destroyed && !(await untilDrained(out, stallMs))) out.destroy()
  }
  out.end()
}
