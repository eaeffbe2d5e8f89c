import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { join } from 'node:path'
import { type Egress, SILENT } from '@longshore/contracts'
import { waitFor } from '@longshore/testkit'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createEgress } from './create-egress.ts'
import { answers } from './launch-proxy.ts'
import { postAt } from './post.ts'
import { ask, begin, type EgressWorld, egressWorld, LOOPBACK } from './testing/egress-world.ts'

const KEY = 'sk-the-deployments-own-key'
let world: EgressWorld
let workers: Egress[]
let base: string
let open: ServerResponse[]

beforeEach(async () => {
  world = egressWorld()
  ;[workers, open] = [[], []]
  const { port } = await world.serve((req, res) => {
    res.write(`data: ${String(req.headers['x-api-key'])}\n\n`)
    if (req.url === '/v1/stream') open.push(res)
    else res.end()
  })
  base = `http://${LOOPBACK}:${port}/v1`
})
afterEach(async () => {
  for (const key of await world.redis.keys(`{ls:${world.deployment}}:egress:grant*`)) await world.redis.del(key)
  for (const one of workers) await one.close()
  await world.stop()
})

const rulesWith = (key: string) => ({ upstreams: [{ name: 'acme', base, key, headers: {} }], allow: [], ranges: [], proxyEnv: {}, version: '1' })

function worker({ since = 1, key = KEY }: { since?: number; key?: string } = {}): Egress {
  const egress = createEgress({ redis: world.redis, redisUrl: world.redisUrl, deployment: world.deployment, policy: { normal: 'provider', most: 'full' }, rules: rulesWith(key), since, log: SILENT })
  workers.push(egress)
  return egress
}

const post = async () => {
  const found = await postAt(world.redis, world.deployment, LOOPBACK).read()
  if (found === undefined) throw new Error('nobody serves')
  return { ...found, pid: Number.parseInt(found.instance, 10) }
}
const call = (origin: string, token: string, path = '/v1/x') => ask(Number(new URL(origin).port), { path: `/model/acme${path}`, headers: { 'x-api-key': token } })

test('many open it at once, and one proxy serves them all', async () => {
  const origins = await Promise.all([worker(), worker(), worker()].map((one) => one.open(LOOPBACK)))
  const { token } = await world.admit()
  expect(new Set(origins).size).toBe(1)
  for (let i = 0; i < 30; i++) expect((await call(origins[0] ?? '', token)).body).toBe(`data: ${KEY}\n\n`)
})

test('it outlives its worker while an execution needs it, and ends with the last one that leaves', async () => {
  const [first, second] = [worker(), worker()]
  const origin = await first.open(LOOPBACK)
  const { token, execution } = await world.admit()
  await first.close()
  expect((await call(origin, token)).status).toBe(200)
  await world.grants.revoke(execution)
  await second.open(LOOPBACK)
  const { port, pid } = await post()
  await second.close()
  expect(await answers(LOOPBACK, port)).toBe(false)
  await waitFor(() => isGone(pid), { what: 'the proxy to end' })
})

test('a worker that is killed cuts off no answer of a model (G7)', async () => {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'testing/worker-process.ts')], { stdio: ['pipe', 'pipe', 'inherit'] })
  child.stdin.end(JSON.stringify({ redisUrl: world.redisUrl, deployment: world.deployment, address: LOOPBACK, since: 1, rules: rulesWith(KEY) }))
  const [origin] = (await once(child.stdout, 'data')) as [Buffer]
  const { token } = await world.admit()
  const stream = await begin(Number(new URL(origin.toString()).port), { path: '/model/acme/v1/stream', headers: { 'x-api-key': token } })
  await once(stream, 'data')
  child.kill('SIGKILL')
  await once(child, 'exit')
  open[0]?.end('data: the end\n\n')
  const [rest] = (await once(stream, 'data')) as [Buffer]
  expect(rest.toString()).toBe('data: the end\n\n')
  expect(await worker().open(LOOPBACK)).toBe(origin.toString())
})

test('killed in the middle of a task it is back on its port within seconds, and knows the tokens', async () => {
  const origin = await worker().open(LOOPBACK)
  const { token } = await world.admit()
  const { pid } = await post()
  process.kill(pid, 'SIGKILL')
  const killed = performance.now()
  await waitFor(async () => (await post()).pid !== pid && (await call(origin, token)).status === 200, { what: 'the proxy to be back' })
  expect(performance.now() - killed).toBeLessThan(10_000)
})

test('rules of a later worker take over, and a stream that runs is not cut off', async () => {
  const earlier = worker({ since: 1 })
  const origin = await earlier.open(LOOPBACK)
  const { token } = await world.admit()
  const { pid } = await post()
  const stream = await begin(Number(new URL(origin).port), { path: '/model/acme/v1/stream', headers: { 'x-api-key': token } })
  await once(stream, 'data')
  expect(await worker({ since: 2, key: 'sk-next' }).open(LOOPBACK)).toBe(origin)
  await waitFor(async () => (await call(origin, token)).body.includes('sk-next'), { what: 'the new key' })
  await earlier.open(LOOPBACK)
  expect((await post()).pid).not.toBe(pid)
  open[0]?.end('data: the end\n\n')
  const [rest] = (await once(stream, 'data')) as [Buffer]
  expect(rest.toString()).toBe('data: the end\n\n')
  await waitFor(() => isGone(pid), { what: 'the earlier proxy to end with its last stream' })
  expect((await call(origin, token)).body).toContain('sk-next')
})

test('no key and no password stands in the proxy\'s arguments or environment', async () => {
  await worker().open(LOOPBACK)
  const { pid } = await post()
  for (const file of ['cmdline', 'environ']) expect(await readFile(`/proc/${pid}/${file}`, 'utf8')).not.toMatch(/sk-|redis:/)
})

test('Redis holds no token and no key', async () => {
  await worker().open(LOOPBACK)
  const { token } = await world.admit()
  const names = await world.redis.keys(`{ls:${world.deployment}}:*`)
  expect(names.length).toBeGreaterThan(2)
  const dumps = await Promise.all(names.map(async (name) => [name, await world.redis.dump(name)].join(' ')))
  for (const secret of [KEY, token, token.slice(-64)]) expect(dumps.join('\n')).not.toContain(secret)
})

test('an address that is not this machine\'s is refused with what to do', async () => {
  await expect(worker().open('192.0.2.1')).rejects.toThrow(/192\.0\.2\.1.*EGRESS=off/)
})

async function isGone(pid: number): Promise<boolean> {
  return readFile(`/proc/${pid}/stat`, 'utf8').then((stat) => stat.includes(') Z '), () => true)
}
