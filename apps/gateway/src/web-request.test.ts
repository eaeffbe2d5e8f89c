import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'

import { waitFor } from '@longshore/testkit'
import { expect, test } from 'vitest'

import { sendWebResponse } from './web-request.ts'

/** A stream that never ends by itself, and whether its source was told that nobody reads it any more. */
function endless() {
  const seen = { isCancelled: false }
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(Buffer.from(': \n\n')),
    cancel: () => { seen.isCancelled = true },
  })
  return { seen, response: new Response(body, { headers: { 'content-type': 'text/event-stream' } }) }
}

test.each(['before the answer is there', 'while it is sent'])('a client that goes away %s ends what is streamed to it', async (when) => {
  const { seen, response } = endless()
  const isEarly = when.startsWith('before')
  const server = createServer((_, out) => {
    const gone = new Promise<void>((resolve) => out.once('close', resolve))
    void (isEarly ? gone : Promise.resolve()).then(() => sendWebResponse(response, out, 1_000))
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const client = request({ port: (server.address() as AddressInfo).port, host: '127.0.0.1' }).on('error', () => undefined).once('response', (answer) => answer.on('error', () => undefined).destroy())
  client.end()
  if (isEarly) server.once('request', () => client.destroy())
  await waitFor(() => seen.isCancelled, { what: 'the source to be told' })
  expect(seen.isCancelled).toBe(true)
  server.close()
})
