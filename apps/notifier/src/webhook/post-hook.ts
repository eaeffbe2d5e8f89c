import { request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import type { LookupFunction } from 'node:net'

import type { Answer } from './judge-answer.ts'

export interface PostOptions {
  /** Only these addresses are connected to; undefined: wherever the name leads. */
  lookup: LookupFunction | undefined
  /** From the connection to the answer's head. */
  timeoutMs: number
  /** Ends it when the process stops. */
  signal: AbortSignal
}

/** What is read of an answer, so that a receiver is not cut off while it writes one. */
const MAX_ANSWER_BYTES = 64 * 1024

/**
 * Posts a hook over a connection of its own. Redirects are not followed, proxies of the environment not used, the answer's body is
 * thrown away unread. Never throws; a fault holds no path and no query, in which a secret may stand.
 */
export function postHook(url: URL, headers: Readonly<Record<string, string>>, body: string, { lookup, timeoutMs, signal }: PostOptions): Promise<Answer> {
  const limit = AbortSignal.timeout(timeoutMs)
  return new Promise((resolve) => {
    const request = (url.protocol === 'https:' ? requestHttps : requestHttp)(url, {
      method: 'POST',
      headers: { ...headers, 'content-type': 'application/json', 'content-length': Buffer.byteLength(body), 'user-agent': 'longshore' },
      agent: false,
      signal: AbortSignal.any([limit, signal]),
      ...(lookup === undefined ? {} : { lookup }),
    })
    request.on('error', (error) => resolve({ fault: limit.aborted ? `no answer within ${timeoutMs} ms` : sayFault(error) }))
    request.once('response', (response) => {
      resolve({ status: response.statusCode ?? 0, retryAfter: response.headers['retry-after'] })
      let read = 0
      response.on('data', (chunk: Buffer) => {
        read += chunk.length
        if (read > MAX_ANSWER_BYTES) response.destroy()
      }).on('error', () => undefined)
    })
    request.end(body)
  })
}

function sayFault(error: Error): string {
  const code = 'code' in error && typeof error.code === 'string' ? error.code : error.name
  return `no answer (${code})`
}
