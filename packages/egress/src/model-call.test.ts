import { once } from 'node:events'
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { waitFor } from '@longshore/testkit'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ask, begin, type EgressWorld, egressWorld, LOOPBACK } from './testing/egress-world.ts'

const KEY = 'sk-the-deployments-own-key'
let world: EgressWorld
let seen: { url: string | undefined; method: string | undefined; headers: IncomingHttpHeaders; body: string }[]

beforeEach(() => {
  world = egressWorld()
  seen = []
})
afterEach(() => world.stop())

async function provider(answer: (req: IncomingMessage, res: ServerResponse) => unknown = (_req, res) => res.end('{"ok":true}')) {
  const { port } = await world.serve((req, res) => {
    const take = async (): Promise<void> => {
      seen.push({ url: req.url, method: req.method, headers: req.headers, body: await text(req) })
      answer(req, res)
    }
    take().catch(() => res.destroy())
  })
  return { name: 'acme', base: `http://${LOOPBACK}:${port}/v1`, key: KEY, headers: { 'x-team': 'blue' } }
}

describe('a model call', () => {
  test.each([['authorization', 'Bearer '], ['x-api-key', ''], ['x-goog-api-key', ''], ['api-key', '']])('gets the provider\'s key where its token stood: %s', async (header, prefix) => {
    const { port } = await world.proxy({ upstreams: [await provider()] })
    const { token } = await world.admit()
    const reply = await ask(port, { method: 'POST', path: '/model/acme/v1/chat?a=b', headers: { [header]: `${prefix}${token}`, 'content-type': 'application/json' }, body: '{}' })
    expect(reply).toMatchObject({ status: 200, body: '{"ok":true}' })
    expect(seen).toMatchObject([{ url: '/v1/chat?a=b', method: 'POST', body: '{}', headers: { [header]: `${prefix}${KEY}`, 'x-team': 'blue' } }])
    expect(JSON.stringify(seen)).not.toContain(token)
  })

  test('without a good token is refused in the words of its client', async () => {
    const { port } = await world.proxy({ upstreams: [await provider()] })
    const { token } = await world.admit()
    for (const headers of [{}, { authorization: 'Bearer nothing' }, { authorization: `Bearer ${token.slice(0, -1)}x` }, { authorization: `Bearer ${token.slice(0, -4)}0000` }]) {
      const reply = await ask(port, { path: '/model/acme/v1/chat', headers })
      expect(reply.status).toBe(401)
      expect(JSON.parse(reply.body)).toMatchObject({ error: { code: 'token', type: 'longshore_egress' } })
    }
    expect(seen).toEqual([])
  })

  test('is refused once its token is revoked or over', async () => {
    const { port } = await world.proxy({ upstreams: [await provider()] })
    const [revoked, late] = [await world.admit(), await world.admit({ expiresAt: Date.now() + 300 })]
    await world.grants.revoke(revoked.execution)
    await waitFor(() => Date.now() > late.execution.expiresAt, { what: 'the end of the token' })
    for (const { token } of [revoked, late]) expect((await ask(port, { path: '/model/acme/v1/chat', headers: { 'x-api-key': token } })).status).toBe(401)
    expect(seen).toEqual([])
  })

  test('leads nowhere but beneath the provider\'s base', async () => {
    const { port } = await world.proxy({ upstreams: [await provider()] })
    const { token, execution } = await world.admit({ network: 'full' })
    for (const rest of ['/admin', '/v1/../admin', '/v1/%2e%2e/admin', '/v1/..%5cadmin/../../x', '//evil.example/v1/x', '/v12/x', '/\\evil.example/']) {
      expect(await ask(port, { path: `/model/acme${rest}`, headers: { 'x-api-key': token } })).toMatchObject({ status: 403 })
    }
    expect(await ask(port, { path: '/model/other/v1/x', headers: { 'x-api-key': token } })).toMatchObject({ status: 403, body: expect.stringContaining('it has acme') })
    expect(seen).toEqual([])
    expect(await waitFor(async () => (await world.grants.takeRefusals(execution))[0], { what: 'a refusal' })).toMatchObject({ reason: 'policy' })
  })

  test('shows the agent nothing of the request that went out', async () => {
    const { port } = await world.proxy({ upstreams: [await provider()] })
    const { token } = await world.admit()
    expect((await ask(port, { method: 'TRACE', path: '/model/acme/v1/chat', headers: { 'x-api-key': token } })).status).toBe(403)
    expect(seen).toEqual([])
  })

  test('streams: each piece is there before the next is written', async () => {
    let next: () => void = () => {}
    const { port } = await world.proxy({ upstreams: [await provider((_req, res) => {
      res.writeHead(200, { 'content-type': 'text/event-stream' })
      res.write('data: 1\n\n')
      next = () => res.end('data: 2\n\n')
    })] })
    const { token } = await world.admit()
    const answer = await begin(port, { method: 'POST', path: '/model/acme/v1/chat', headers: { authorization: `Bearer ${token}` }, body: '{}' })
    const [first] = (await once(answer, 'data')) as [Buffer]
    expect(first.toString()).toBe('data: 1\n\n')
    next()
    expect(await text(answer)).toBe('data: 2\n\n')
  })

  test('that is under way ends with its token, on both sides', async () => {
    let gone = false
    const { port, open } = await world.proxy({ upstreams: [await provider((_req, res) => {
      res.write('data: 1\n\n')
      res.once('close', () => { gone = true })
    })] })
    const { token, execution } = await world.admit()
    const answer = await begin(port, { path: '/model/acme/v1/chat', headers: { authorization: `Bearer ${token}` } })
    await once(answer, 'data')
    await world.grants.revoke(execution)
    await expect(text(answer)).rejects.toThrow('aborted')
    await waitFor(() => gone && open.size === 0, { what: 'the provider to be left' })
  })

  test('that nobody waits for any more is ended at the provider', async () => {
    let gone = false
    const { port, open } = await world.proxy({ upstreams: [await provider((req) => { req.socket.once('close', () => { gone = true }) })] })
    const { token } = await world.admit()
    const socket = connect(port, LOOPBACK)
    socket.write(`GET /model/acme/v1/chat HTTP/1.1\r\nHost: x\r\nx-api-key: ${token}\r\n\r\n`)
    await waitFor(() => seen.length === 1, { what: 'the call' })
    socket.destroy()
    expect(await waitFor(() => gone && open.size === 0, { what: 'the provider to be left' })).toBe(true)
  })

  test('is framed anew: a body without a length is one request, whatever is in it', async () => {
    const { port } = await world.proxy({ upstreams: [await provider()] })
    const { token } = await world.admit()
    const smuggled = 'GET /v1/smuggled HTTP/1.1\r\nHost: x\r\n\r\n'
    const socket = connect(port, LOOPBACK)
    socket.write(`GET /model/acme/v1/a HTTP/1.1\r\nHost: x\r\nx-api-key: ${token}\r\nTransfer-Encoding: chunked\r\n\r\n${smuggled.length.toString(16)}\r\n${smuggled}\r\n0\r\n\r\n`)
    await once(socket, 'data')
    await ask(port, { path: '/model/acme/v1/b', headers: { 'x-api-key': token } })
    expect(seen.map(({ url, body }) => [url, body])).toEqual([['/v1/a', smuggled], ['/v1/b', '']])
    socket.destroy()
  })

  test('with two lengths is refused', async () => {
    const { port } = await world.proxy({ upstreams: [await provider()] })
    const { token } = await world.admit()
    const socket = connect(port, LOOPBACK)
    socket.write(`POST /model/acme/v1/a HTTP/1.1\r\nHost: x\r\nx-api-key: ${token}\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`)
    const [answer] = (await once(socket, 'data')) as [Buffer]
    expect(answer.toString()).toMatch(/^HTTP\/1\.1 400 /)
    expect(seen).toEqual([])
    socket.destroy()
  })

  test('sends no hop-by-hop header on, nor one that the agent calls so', async () => {
    const { port } = await world.proxy({ upstreams: [await provider()] })
    const { token } = await world.admit()
    await ask(port, { path: '/model/acme/v1/a', headers: { 'x-api-key': token, connection: 'close, x-secret', 'x-secret': '1', 'proxy-authorization': 'Basic eDp5', te: 'trailers', authorization: 'Bearer mine' } })
    expect(seen).toHaveLength(1)
    for (const name of ['x-secret', 'proxy-authorization', 'te', 'authorization']) expect(seen[0]?.headers).not.toHaveProperty(name)
  })

  test('to a provider that does not answer says so', async () => {
    const { port, server } = await world.serve(() => {})
    server.close()
    const proxy = await world.proxy({ upstreams: [{ name: 'acme', base: `http://${LOOPBACK}:${port}/v1`, headers: {} }] })
    const { token } = await world.admit()
    expect(await ask(proxy.port, { path: '/model/acme/v1/a', headers: { 'x-api-key': token } })).toMatchObject({ status: 502, body: expect.stringContaining('\\"acme\\" does not answer') })
  })
})
