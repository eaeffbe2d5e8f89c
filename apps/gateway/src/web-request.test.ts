import { once } from 'node:events'
import { createServer, get } from 'node:http'
import type { AddressInfo } from 'node:net'

import { expect, test } from 'vitest'

import { sendWebResponse } from './web-request.ts'

test('who takes nothing of a stream is cut off, and its source is let go', async () => {
  const cancelled = Promise.withResolvers<unknown>()
  let sent = 0
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      sent += 64 * 1024
      controller.enqueue(new Uint8Array(64 * 1024))
    },
    cancel: (reason) => cancelled.resolve(reason),
  })
  const server = createServer((_, response) => void sendWebResponse(new Response(body, { headers: { 'content-type': 'text/event-stream' } }), response, 200))
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const request = get(`http://127.0.0.1:${(server.address() as AddressInfo).port}`).on('error', () => undefined)
  // It begins to read and goes no further.
  request.once('response', (response) => response.pause())
  await cancelled.promise
  // What the kernel takes on both sides, and no more.
  expect(sent).toBeLessThan(32 * 1024 * 1024)
  request.destroy()
  server.close()
})

test('a stream whose reader left before it began is let go', async () => {
  const cancelled = Promise.withResolvers<unknown>()
  const gone = Promise.withResolvers<void>()
  const server = createServer((_, response) => {
    response.once('close', () => gone.resolve())
    void gone.promise.then(() => sendWebResponse(new Response(new ReadableStream({ cancel: (reason) => cancelled.resolve(reason) }), { headers: { 'content-type': 'text/event-stream' } }), response, 200))
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const request = get(`http://127.0.0.1:${(server.address() as AddressInfo).port}`).on('error', () => undefined)
  server.once('request', () => request.destroy())
  expect(await cancelled.promise).toBeUndefined()
  server.close()
})
