import { once } from 'node:events'
import { connect } from 'node:net'
import { startRedis, waitFor } from '@longshore/testkit'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ask, basic, type EgressWorld, egressWorld, LOOPBACK, tunnel } from './testing/egress-world.ts'

let world: EgressWorld
beforeEach(() => { world = egressWorld() })
afterEach(() => world.stop())

const toLoopback = () => Promise.resolve([{ address: LOOPBACK, family: 4 }])
const LOOPBACK_RANGE = ['127.0.0.0/8']

describe('what the allow-list names', () => {
  test('is reached by CONNECT, and nothing of the token goes there', async () => {
    const outside = await world.serve((req, res) => res.end(JSON.stringify(req.headers)))
    const { port } = await world.proxy({ allow: [`*.good.example:${outside.port}`], ranges: LOOPBACK_RANGE, resolve: toLoopback })
    const { token } = await world.admit({ network: 'allowlist' })
    const { head, socket } = await tunnel(port, `www.good.example:${outside.port}`, token)
    expect(head).toMatch(/^HTTP\/1\.1 200 /)
    socket.write('GET / HTTP/1.1\r\nHost: www.good.example\r\nConnection: close\r\n\r\n')
    const [answer] = (await once(socket, 'data')) as [Buffer]
    expect(answer.toString()).toContain('{"host":"www.good.example"')
    socket.destroy()
  })

  test('is reached in absolute form, with the host of the URL and no other', async () => {
    const outside = await world.serve((req, res) => res.end(JSON.stringify([req.url, req.headers])))
    const { port } = await world.proxy({ allow: [`good.example:${outside.port}`], ranges: LOOPBACK_RANGE, resolve: toLoopback })
    const { token } = await world.admit({ network: 'allowlist' })
    const reply = await ask(port, { path: `http://GOOD.example.:${outside.port}/a?b=c`, headers: { 'proxy-authorization': basic(token), host: 'evil.example' } })
    expect(reply.status).toBe(200)
    expect(JSON.parse(reply.body)).toMatchObject(['/a?b=c', { host: `good.example:${outside.port}` }])
    expect(reply.body).not.toContain('authorization')
  })

  test('is not reached on another port, nor are its neighbours, nor with a narrower network', async () => {
    const { port } = await world.proxy({ allow: ['good.example', '*.wild.example'], ranges: LOOPBACK_RANGE, resolve: toLoopback })
    const [listed, narrow] = [await world.admit({ network: 'allowlist' }), await world.admit({ network: 'provider' })]
    for (const [authority, reason, { token }] of [
      ['good.example:22', 'port', listed], ['evil.example:443', 'policy', listed], ['notgood.example:443', 'policy', listed],
      ['wild.example:443', 'policy', listed], ['good.example.evil.example:443', 'policy', listed], ['good.example:443', 'policy', narrow],
    ] as const) {
      const { head } = await tunnel(port, authority, token)
      expect([authority, head.split('\r\n')[0]]).toEqual([authority, `HTTP/1.1 403 Refused by longshore egress (${reason})`])
    }
  })
})

describe('whatever the network', () => {
  test.each(['127.0.0.1:443', '[::1]:443', '169.254.169.254:80', '10.0.0.1:443', '192.168.1.1:443', '100.100.100.200:80', '0.0.0.0:80', '2130706433:80', '0x7f.1:80', '[::ffff:169.254.169.254]:80', '[fd00:ec2::254]:80', '[64:ff9b::a9fe:a9fe]:80', '168.63.129.16:80'])('%s is refused', async (authority) => {
    const { port } = await world.proxy()
    const { token, execution } = await world.admit({ network: 'full' })
    expect((await tunnel(port, authority, token)).head).toContain('403 Refused by longshore egress (address)')
    expect((await ask(port, { path: `http://${authority}/`, headers: { 'proxy-authorization': basic(token) } })).status).toBe(403)
    expect(await waitFor(async () => (await world.grants.takeRefusals(execution))[0], { what: 'a refusal' })).toMatchObject({ reason: expect.stringMatching(/address|port/) })
  })

  test('a name that leads to a private address is refused, also when it did not a moment ago', async () => {
    const answers = [[{ address: '10.0.0.8', family: 4 }], [{ address: '169.254.169.254', family: 4 }]]
    const { port } = await world.proxy({ resolve: () => Promise.resolve(answers.shift() ?? []) })
    const { token } = await world.admit({ network: 'full' })
    for (const reason of ['address', 'address', 'unresolved']) expect((await tunnel(port, 'rebind.example:443', token)).head).toContain(`(${reason})`)
  })

  test('metadata is refused even where the operator allowed its range', async () => {
    const { port } = await world.proxy({ ranges: ['0.0.0.0/0'] })
    const { token } = await world.admit({ network: 'full' })
    expect((await tunnel(port, '169.254.169.254:80', token)).head).toContain('(address)')
  })

  test('a name is looked up once: the connection goes where the check looked', async () => {
    const outside = await world.serve((_req, res) => res.end('here'))
    let asked = 0
    const { port } = await world.proxy({
      allow: [`good.example:${outside.port}`], ranges: LOOPBACK_RANGE,
      resolve: () => {
        asked += 1
        return Promise.resolve([{ address: '10.1.2.3', family: 4 }, { address: LOOPBACK, family: 4 }])
      },
    })
    const { token } = await world.admit({ network: 'allowlist' })
    expect(await ask(port, { path: `http://good.example:${outside.port}/`, headers: { 'proxy-authorization': basic(token) } })).toMatchObject({ body: 'here' })
    expect(asked).toBe(1)
  })

  test('without a token the way is shut and says where the token stands', async () => {
    const { port } = await world.proxy({ allow: ['good.example'], resolve: toLoopback })
    expect((await tunnel(port, 'good.example:443')).head).toMatch(/^HTTP\/1\.1 407 .*\(token\)\r\nProxy-Authenticate: Basic/)
    expect(await ask(port, { path: 'http://good.example/' })).toMatchObject({ status: 407, body: expect.stringContaining('HTTP_PROXY') })
  })

  test.each(['nonsense', 'host', 'host:0', 'host:99999', 'user@host:443', 'a/b:443', ':443'])('CONNECT %j is malformed', async (authority) => {
    const { port } = await world.proxy()
    const { token } = await world.admit({ network: 'full' })
    expect((await tunnel(port, authority, token)).head).toMatch(/^HTTP\/1\.1 400 /)
  })

  test('an execution has so many connections and no more', async () => {
    const outside = await world.serve(() => {})
    const { port, open } = await world.proxy({ allow: [`good.example:${outside.port}`], ranges: LOOPBACK_RANGE, resolve: toLoopback })
    const [greedy, other] = [await world.admit({ network: 'allowlist' }), await world.admit({ network: 'allowlist' })]
    const tunnels = await Promise.all(Array.from({ length: 128 }, () => tunnel(port, `good.example:${outside.port}`, greedy.token)))
    expect(open.size).toBe(128)
    expect((await tunnel(port, `good.example:${outside.port}`, greedy.token)).head).toContain('429')
    expect((await tunnel(port, `good.example:${outside.port}`, other.token)).head).toContain('200')
    await world.grants.revoke(greedy.execution)
    await waitFor(() => open.size === 1 && tunnels.every(({ socket }) => socket.destroyed), { what: 'what the revoked token had open to be cut' })
  })

  test('a client that is silent about its request holds nothing for ever', async () => {
    const { server } = await world.proxy()
    expect(server.headersTimeout).toBeLessThanOrEqual(30_000)
    expect(server.timeout).toBe(0) // an answer may be silent for minutes
  })

  test('a request to the proxy itself in absolute form is one of its own', async () => {
    const { port } = await world.proxy()
    const { token } = await world.admit()
    const reply = await ask(port, { path: `http://${LOOPBACK}:${port}/model/none/v1/x`, headers: { 'x-api-key': token } })
    expect(reply).toMatchObject({ status: 403, body: expect.stringContaining('it has none') })
  })

  test('a tunnel ends when either side does', async () => {
    let outer = 0
    const outside = await world.serve((_req, res) => res.destroy())
    outside.server.on('connection', (socket) => {
      outer += 1
      socket.once('close', () => { outer -= 1 })
    })
    const { port, open } = await world.proxy({ allow: [`good.example:${outside.port}`], ranges: LOOPBACK_RANGE, resolve: toLoopback })
    const { token } = await world.admit({ network: 'allowlist' })
    const [left, kept] = [await tunnel(port, `good.example:${outside.port}`, token), await tunnel(port, `good.example:${outside.port}`, token)]
    expect([left.head, kept.head].every((head) => head.includes(' 200 '))).toBe(true)
    left.socket.destroy()
    kept.socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    await waitFor(() => open.size === 0 && outer === 0 && kept.socket.destroyed, { what: 'both tunnels to be gone' })
  })
})

test('connections without a request count for nobody', async () => {
  const { port, open } = await world.proxy()
  const socket = connect(port, LOOPBACK)
  await once(socket, 'connect')
  expect(open.size).toBe(0)
  socket.destroy()
})

test('while Redis is stalled a token that was good is believed, and an unknown one is not', async () => {
  const own = await startRedis()
  const there = egressWorld(own.url)
  const outside = await there.serve((_req, res) => res.end('here'))
  const { port } = await there.proxy({ allow: [`good.example:${outside.port}`], ranges: LOOPBACK_RANGE, resolve: toLoopback })
  const [known, unknown] = [await there.admit({ network: 'allowlist' }), await there.admit({ network: 'allowlist' })]
  const visit = (token: string) => ask(port, { path: `http://good.example:${outside.port}/`, headers: { 'proxy-authorization': basic(token) } })
  expect((await visit(known.token)).status).toBe(200)
  own.stall()
  expect((await visit(known.token)).status).toBe(200)
  expect((await visit(unknown.token)).status).toBe(407)
  own.cont()
  expect((await visit(unknown.token)).status).toBe(200)
  await there.stop()
  await own.stop()
})
