import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createListener } from 'node:net'
import type { AddressInfo } from 'node:net'

import { LongshoreError } from '@longshore/contracts'
import { FILES_GREETING, FILES_NONCE, FILES_PROOF, type Heartbeat, proofOfAnswer } from '@longshore/queue'
import { afterEach, expect, test } from 'vitest'

import { createTaskFiles, type TaskFiles, WorkspacePath } from './task-files-port.ts'

const SECRET = 'the secret of the deployment'
const TASK = { id: `task-${'a'.repeat(26)}`, attempt: 1, handle: { v: 1 as const, mode: 'opencode' as const, storage_id: 's', data: {} } }
const NEVER = new AbortController().signal
const open: (() => void)[] = []
afterEach(() => {
  for (const close of open.splice(0)) close()
})

async function listening(server: Server | ReturnType<typeof createListener>): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/0123456789abcdef`
}

/** A worker's door: proves itself, and answers as it is told. */
async function door(answer: RequestListener): Promise<string> {
  const server = createServer((request, response) => {
    response.setHeader(FILES_PROOF, proofOfAnswer(SECRET, String(request.headers[FILES_NONCE])))
    if (request.url?.endsWith(`/${FILES_GREETING}`) === true) response.writeHead(204).end()
    else answer(request, response)
  })
  open.push(() => server.close(), () => server.closeAllConnections())
  return listening(server)
}

function filesOf(...urls: string[]): TaskFiles {
  const beats = urls.map((files_url, i): Heartbeat => ({ v: 1, name: `w${i}`, host: 'h', version: '0', started_at: 0, slots: 1, running: 0, draining: false, storage_id: 's', files_url, modes: [] }))
  return createTaskFiles({ workers: () => Promise.resolve(beats), secret: () => Promise.resolve(SECRET) })
}

test('a program that took a dead worker\'s port and says nothing is passed over soon', async () => {
  const held: { destroy(): void }[] = []
  const mute = createListener((socket) => void held.push(socket))
  open.push(() => mute.close(), () => held.forEach((socket) => socket.destroy()))
  const alive = await door((_request, response) => void response.writeHead(200, { 'x-longshore-size': 2, 'x-longshore-modified': 0, 'x-longshore-head': '' }).end('ok'))
  const began = performance.now()
  expect((await filesOf(await listening(mute), alive).read(TASK, { path: 'x', offset: 0, limit: 9 }, NEVER)).bytes.toString()).toBe('ok')
  expect(performance.now() - began).toBeLessThan(10_000)
})

test.each([['payload_too_large', 413, 1], ['unavailable', 503, 2]] as const)('a refusal %s (%i) is asked for at %i of two workers', async (code, status, times) => {
  let asked = 0
  const refusing: RequestListener = (_request, response) => {
    asked += 1
    response.writeHead(status).end(JSON.stringify(new LongshoreError(code, 'no').toBody()))
  }
  await expect(filesOf(await door(refusing), await door(refusing)).diff(TASK, { path: undefined, max_bytes: 9 }, NEVER)).rejects.toMatchObject({ code })
  expect(asked).toBe(times)
})

test('a path is as long as system calls take, in bytes', () => {
  expect([WorkspacePath.safeParse('€'.repeat(1_365)).success, WorkspacePath.safeParse('€'.repeat(1_366)).success, WorkspacePath.safeParse('x'.repeat(4_096)).success]).toEqual([true, false, true])
})
