import type { ServerResponse } from 'node:http'

import type { LongshoreError } from '@longshore/contracts'

export function sendJson(response: ServerResponse, status: number, body: object): void {
  const text = JSON.stringify(body)
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }).end(text)
}

/** A refusal before any door was reached, in the body that both doors use. */
export function sendError(response: ServerResponse, error: LongshoreError): void {
  if (response.headersSent) return void response.destroy()
  if (error.code === 'unauthorized') response.setHeader('www-authenticate', 'Bearer realm="longshore"')
  // The rest of a body that is too large is not read.
  if (error.code === 'payload_too_large') response.setHeader('connection', 'close')
  sendJson(response, error.status, error.toBody())
}
