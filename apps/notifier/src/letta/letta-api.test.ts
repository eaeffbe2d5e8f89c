import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

import { type ScriptedLetta, startScriptedLetta } from '@longshore/testkit'
import { expect, test } from 'vitest'

import { ends } from '../testing/world.ts'
import { createLettaApi, troubleOf } from './letta-api.ts'

async function aWorld() {
  const letta = ends(await startScriptedLetta())
  const api = createLettaApi({ url: letta.url, token: letta.token, timeoutMs: 30_000, signal: new AbortController().signal })
  return { letta, api, agent: letta.agent() }
}

test.each([
  [{ status: 400 }, 'refused'], [{ status: 401 }, 'blocked'], [{ status: 403 }, 'blocked'], [{ status: 404 }, 'refused'], [{ status: 408 }, 'again'], [{ status: 409 }, 'again'], [{ status: 422 }, 'refused'],
  [{ status: 429, headers: { 'retry-after': '2' } }, 'limited'], [{ status: 500 }, 'again'], [{ status: 307, headers: { location: 'http://127.0.0.1:1/' } }, 'again'], [{ drop: 'before' }, 'again'],
] satisfies [ReturnType<ScriptedLetta['fault']>, string][])('L-31: after %j the client does not repeat by itself, and it is %s', async (fault, kind) => {
  const { letta, api, agent } = await aWorld()
  let asked = 0
  letta.fault = () => (asked++, fault)
  const trouble = await api.tell(agent, 'x').then(() => undefined, troubleOf)
  expect(trouble).toMatchObject({ kind, ...(kind === 'limited' ? { afterMs: 2_000 } : {}) })
  expect(JSON.stringify(trouble)).not.toContain(letta.token)
  expect(asked).toBe(1)
})

const halfAnAnswer = (response: ServerResponse) => response.writeHead(200, { 'content-type': 'application/json', 'content-length': '100' }).write('{"mess')
test.each([
  ['is cut', (response: ServerResponse) => (halfAnAnswer(response), setImmediate(() => response.destroy()))],
  ['is no JSON', (response: ServerResponse) => response.writeHead(200, { 'content-type': 'application/json' }).end('<html>')],
  ['is not waited for, because the process stops', (response: ServerResponse, stop: () => void) => (halfAnAnswer(response), setTimeout(stop, 50))],
])('L-31: whether a message was taken whose answer %s is unknown: it is tried again', async (_, answer) => {
  const stopping = new AbortController()
  const server = createServer((_request, response) => void answer(response, () => stopping.abort())).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  ends({ stop: () => new Promise((resolve) => (server.closeAllConnections(), server.close(resolve))) })
  const api = createLettaApi({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, token: undefined, timeoutMs: 30_000, signal: stopping.signal })
  expect(await api.tell('agent-1', 'x').then(() => undefined, troubleOf)).toMatchObject({ kind: 'again' })
})

test('our marker is found among many messages, and not where the agent itself repeats it', async () => {
  const { letta, api, agent } = await aWorld()
  await api.tell(agent, 'one with longshore:notice:1')
  for (let i = 0; i < 150; i++) letta.messages(agent).push({ id: `message-${i}`, date: new Date().toISOString(), message_type: 'assistant_message', content: 'I read longshore:notice:2' })
  const since = Date.now() - 60_000
  expect([await api.wasTold(agent, 'longshore:notice:1', since), await api.wasTold(agent, 'longshore:notice:2', since)]).toEqual([true, false])
})

test('an agent may lose its block while we are not looking', async () => {
  const { letta, api, agent } = await aWorld()
  const block = { label: 'a', description: '', value: 'v', limit: 2_000 }
  const id = await api.createBlock(block)
  await api.attach(agent, id)
  expect(await api.findAttached(agent, 'a')).toBe(id)
  await expect(api.attach(agent, await api.createBlock(block))).rejects.toMatchObject({ status: 409 })
  await api.detach(agent, id)
  await api.detach(agent, id)
  letta.blocks.clear()
  expect(await api.writeBlock(id, block)).toBe(false)
  expect(await api.findBlock('a')).toBeUndefined()
})
