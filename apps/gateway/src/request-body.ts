import type { IncomingMessage } from 'node:http'

import { LongshoreError } from '@longshore/contracts'

/** A prompt of 256 KiB takes at most 1.5 MiB in JSON (every byte as \u00xx), files of 1 MiB take 1.4 MiB in base64; the rest is room for a readable answer about larger ones. */
const MAX_BODY_BYTES = 4 * 1024 * 1024

/** @throws LongshoreError payload_too_large without reading on */
export async function readBody(request: IncomingMessage): Promise<string> {
  if (Number(request.headers['content-length'] ?? 0) > MAX_BODY_BYTES) throw tooLarge()
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.byteLength
    if (size > MAX_BODY_BYTES) throw tooLarge()
    chunks.push(chunk)
  }
  return Buffer.concat(chunks, size).toString('utf8')
}

function tooLarge(): LongshoreError {
  return new LongshoreError('payload_too_large', `the request is larger than ${MAX_BODY_BYTES} bytes`, {
    next: 'A task_description may have 256 KiB, files that are sent along 1 MiB (in base64 where they are not plain text); put larger material into a repository or file that the agent can fetch.',
  })
}

/** @throws LongshoreError invalid_input */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new LongshoreError('invalid_input', 'the request body is not JSON')
  }
}
