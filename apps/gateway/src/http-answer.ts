import type { ServerResponse } from 'node:http'
import { pipeline } from 'node:stream/promises'

import type { Log, LongshoreError } from '@longshore/contracts'

import type { Download } from './operations/operation.ts'

export function sendJson(response: ServerResponse, status: number, body: object): void {
  const text = JSON.stringify(body)
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }).end(text)
}

/** What an agent wrote is never rendered: whatever it looks like, it is saved. */
const SAFE = { 'x-content-type-options': 'nosniff', 'content-security-policy': 'sandbox', 'cache-control': 'no-store' }

/** Bytes go through in pieces. When their source breaks, the reader sees a body that ends too early. */
export async function sendDownload(response: ServerResponse, { status, headers, body }: Download, log: Log): Promise<void> {
  response.writeHead(status, { ...SAFE, ...headers })
  try {
    await pipeline(body, response)
  } catch (error) {
    log.info({ reason: String(error) }, 'a download ended too early')
    response.destroy()
  }
}

/** A refusal before any door was reached, in the body that both doors use. */
export function sendError(response: ServerResponse, error: LongshoreError): void {
  if (response.headersSent) return void response.destroy()
  if (error.code === 'unauthorized') response.setHeader('www-authenticate', 'Bearer realm="longshore"')
  // Both pass by themselves.
  if (error.code === 'overloaded' || error.code === 'unavailable') response.setHeader('retry-after', '5')
  // The rest of a body that is too large is not read.
  if (error.code === 'payload_too_large') response.setHeader('connection', 'close')
  sendJson(response, error.status, error.toBody())
}
