import type { IncomingMessage, ServerResponse } from 'node:http'

/** A node request whose body was read before, as the MCP handler takes it. */
export function toWebRequest(request: IncomingMessage): Request {
  const headers = new Headers()
  for (const [name, value] of Object.entries(request.headers)) {
    if (typeof value === 'string') headers.set(name, value)
  }
  return new Request(`http://localhost${request.url ?? '/'}`, { method: request.method ?? 'GET', headers })
}

/** Streams a web response; stops reading when the client is gone. */
export async function sendWebResponse(response: Response, out: ServerResponse): Promise<void> {
  out.writeHead(response.status, Object.fromEntries(response.headers))
  if (response.body === null) {
    out.end()
    return
  }
  const reader = response.body.getReader()
  out.once('close', () => void reader.cancel().catch(() => undefined))
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    if (!out.write(next.value) && !out.destroyed) await new Promise<void>((resolve) => { out.once('drain', resolve).once('close', resolve) })
  }
  out.end()
}
