import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, get, type IncomingMessage } from 'node:http'
import { type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { createDockerMode, openStorage, type Storage, workspaceOf } from '@longshore/backends'
import { type Backend, type Egress, type Network, SILENT } from '@longshore/contracts'
import { createEgress } from '@longshore/egress'
import { connectRedis } from '@longshore/runtime'
import { describeNeeding, engineHost, runnerImage, sharedRedisUrl, waitFor } from '@longshore/testkit'
import type { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { type LoneRun, loneRun } from './testing/lone-run.ts'

vi.setConfig({ testTimeout: 300_000, hookTimeout: 120_000 })

const KEY = 'sk-the-deployments-own-key'
/** One model call with bash alone: `call PATH` prints the answer. */
const CALL = 'hostport=${ACME_ORIGIN#http://}; call() { exec 3<>/dev/tcp/${hostport%:*}/${hostport#*:}; printf "GET %s HTTP/1.1\\r\\nHost: x\\r\\nx-api-key: $OPENAI_API_KEY\\r\\nConnection: close\\r\\n\\r\\n" "$1" >&3; cat <&3; exec 3>&-; };'
const ORIGIN = 'ACME_ORIGIN=http://${HTTP_PROXY##*@}; ACME_ORIGIN=${ACME_ORIGIN%/};'

describeNeeding('docker', 'an agent in a container', () => {
  const deployment = `egress-${randomBytes(6).toString('hex')}`
  const provider = createServer((req, res) => {
    res.write(`key:${req.headers['x-api-key'] === KEY ? 'right' : 'wrong'}\n`)
    if (req.url === '/v1/slow') release = () => res.end('the end\n')
    else res.end()
  })
  let release: (() => void) | undefined
  let [root, storage, redis, egress, backend]: [string, Storage | undefined, Redis | undefined, Egress | undefined, Backend | undefined] = ['', undefined, undefined, undefined, undefined]
  const providerPort = () => (provider.address() as AddressInfo).port

  const worker = async (): Promise<{ egress: Egress; backend: Backend }> => {
    redis ??= connectRedis(sharedRedisUrl(), 'background', SILENT)
    storage ??= await openStorage(root)
    const way = createEgress({
      redis, redisUrl: sharedRedisUrl(), deployment, policy: { normal: 'provider', most: 'full' }, since: 1, log: SILENT,
      rules: { upstreams: [{ name: 'openai', base: `http://127.0.0.1:${providerPort()}/v1`, key: KEY, headers: {} }], allow: [`listed.example:${providerPort()}`], ranges: [], proxyEnv: {}, version: '1' },
    })
    const image = await runnerImage()
    const mode = createDockerMode({
      deployment, engine: await engineHost(), image, storage, model: { config: {}, env: { OPENAI_API_KEY: KEY } }, egress: way, log: SILENT,
      profiles: { opencode: { driver: 'command', image, command: ['bash', '-s'], env: { OPENAI_API_KEY: KEY, COPY: KEY } } },
    })
    return { egress: way, backend: mode }
  }
  const begin = async (script: string, network?: Network): Promise<LoneRun & { over: Promise<unknown> }> => {
    const one = loneRun(`${ORIGIN} ${CALL} ${script}`, network === undefined ? {} : { network })
    if (backend === undefined) throw new Error('no backend')
    const { outcome } = await backend.start(one.task, one.run)
    return { ...one, over: outcome }
  }
  const end = async (one: LoneRun): Promise<void> => {
    one.letGo()
    await backend?.dispose(one.handle(), one.run)
  }

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'longshore-egress-'))
    provider.listen(0, '127.0.0.1')
    await once(provider, 'listening')
    ;({ egress, backend } = await worker())
  })
  afterAll(async () => {
    await backend?.close()
    await egress?.close()
    redis?.disconnect()
    provider.close()
    await rm(root, { recursive: true, force: true })
  })

  test('reaches its provider by a token, finds no key, no way around the proxy, and nothing that its network does not let through', async () => {
    const one = await begin('env; cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr "\\0" "\\n"; call /model/openai/v1/x; '
      + 'git ls-remote http://listed.example/ 2>&1; git ls-remote http://169.254.169.254/ 2>&1; timeout 3 bash -c "exec 4<>/dev/tcp/1.1.1.1/80" 2>&1 || echo no-way-around; getent hosts example.com || echo no-names')
    try {
      expect(await one.over).toMatchObject({ kind: 'completed' })
      const said = one.said()
      expect(said).toContain('169.254.169.254:80 was refused')
      for (const word of ['key:right', 'no-way-around', 'no-names', 'COPY=[redacted]', '[longshore] network: listed.example:80 was refused (policy)']) expect(said).toContain(word)
      const container = String(one.handle().data['container'])
      const seen = JSON.stringify([one.events, await inspect(container)])
      expect(seen).not.toContain(KEY)
      const workspace = workspaceOf(storage!, one.task.id)
      expect(await readFile(join(workspace.state, 'prompt.txt'), 'latin1')).not.toContain(KEY)
    } finally {
      await end(one)
    }
    expect(await redis?.keys(`{ls:${deployment}}:egress:grant:*`)).toEqual([])
  })

  test.each([
    ['allowlist', 'listed.example:PORT', 'unresolved'], ['allowlist', 'example.org:443', 'policy'], ['full', 'example.org:22', 'port'],
    ['full', '169.254.169.254:80', 'address'], ['full', '127.0.0.1:80', 'address'], ['provider', 'example.org:443', 'policy'],
  ] as const)('with the network %s asks for %s and hears: %s', async (network, asked, reason) => {
    const authority = asked.replace('PORT', String(providerPort()))
    const one = await begin(`exec 3<>/dev/tcp/\${hostport%:*}/\${hostport#*:}; printf "CONNECT ${authority} HTTP/1.1\\r\\nProxy-Authorization: Bearer $OPENAI_API_KEY\\r\\n\\r\\n" >&3; head -1 <&3`, network)
    try {
      expect(await one.over).toMatchObject({ kind: 'completed' })
      expect(one.said()).toContain(`Refused by longshore egress (${reason})`)
      expect(one.said()).toContain(`${authority} was refused (${reason})`)
    } finally {
      await end(one)
    }
  })

  test('whose proxy is killed goes on with the one that is there within seconds', async () => {
    const one = await begin('call /model/openai/v1/x; touch first; until [ -e killed ]; do sleep 0.1; done; until call /model/openai/v1/x 2>/dev/null | grep key:; do sleep 0.2; done; echo went-on')
    try {
      await waitFor(() => one.said().includes('key:right'), { what: 'the first call', timeoutMs: 60_000 })
      process.kill(await proxyPid(), 'SIGKILL')
      await writeMark(one, 'killed')
      expect(await one.over).toMatchObject({ kind: 'completed' })
      expect(one.said()).toContain('went-on')
    } finally {
      await end(one)
    }
  })

  test('whose worker leaves in the middle of a model\'s answer gets the rest of it', async () => {
    const one = await begin('call /model/openai/v1/slow; echo went-on')
    try {
      await waitFor(() => release !== undefined && one.said().includes('key:right'), { what: 'the answer to begin', timeoutMs: 60_000 })
      const pid = await proxyPid()
      one.letGo()
      await egress?.close()
      ;({ egress, backend } = await worker())
      const next = loneRun('', { id: one.task.id })
      const adopted = await backend.attach(next.task, one.handle(), next.run)
      expect(await proxyPid()).toBe(pid)
      release?.()
      expect(await adopted?.outcome).toMatchObject({ kind: 'completed' })
      expect(next.said()).toMatch(/the end[^]*went-on/)
      next.letGo()
    } finally {
      await end(one)
    }
  })

  async function inspect(container: string): Promise<unknown> {
    const asked = get({ socketPath: (await engineHost()).replace('unix://', ''), path: `/containers/${container}/json` })
    const [answer] = (await once(asked, 'response')) as [IncomingMessage]
    return JSON.parse(await text(answer))
  }
  async function proxyPid(): Promise<number> {
    const [name = ''] = (await redis?.keys(`{ls:${deployment}}:egress:proxy:*`)) ?? []
    return Number.parseInt((await redis?.hget(name, 'instance')) ?? '', 10)
  }
  async function writeMark(one: LoneRun, name: string): Promise<void> {
    await writeFile(join(workspaceOf(storage!, one.task.id).repo, name), '')
  }
})
