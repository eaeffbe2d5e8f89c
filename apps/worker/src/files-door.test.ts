import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { openStorage, prepareWorkspace, type Workspace, workspaceOf } from '@longshore/backends'
import { type Log, SILENT } from '@longshore/contracts'
import { FILES_GREETING, FILES_NONCE, FILES_PROOF, proofOfAnswer, proofOfRequest } from '@longshore/queue'
import { waitFor } from '@longshore/testkit'
import { afterEach, describe, expect, test } from 'vitest'

import { type FilesDoor, type FilesDoorOptions, openFilesDoor, readPlaces } from './files-door.ts'

const TASK = `task-${'a'.repeat(26)}`
const SECRET = 'the secret of the deployment'
const open: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of open.splice(0).toReversed()) await close()
})

async function makeDoor(more: Partial<FilesDoorOptions> = {}): Promise<{ door: FilesDoor; workspace: Workspace; ask: (what: string, secret?: string) => Promise<Response> }> {
  const root = await mkdtemp(join(tmpdir(), 'longshore-door-'))
  open.push(() => rm(root, { recursive: true, force: true }))
  const storage = await openStorage(root)
  const workspace = workspaceOf(storage, TASK)
  await prepareWorkspace(workspace)
  const door = await openFilesDoor({ host: '127.0.0.1', port: 0, hostname: 'here', storage, secret: () => Promise.resolve(SECRET), log: SILENT, ...more })
  open.push(door.stop)
  return { door, workspace, ask: (what, secret = SECRET) => fetch(`${door.url}/${what}`, { headers: proven(new URL(`${door.url}/${what}`), secret) }) }
}

function proven(url: URL, secret: string, nonce: string = randomUUID()): Record<string, string> {
  return { [FILES_NONCE]: nonce, [FILES_PROOF]: proofOfRequest(secret, nonce, `${url.pathname}${url.search}`) }
}

const errorOf = async (response: Response): Promise<unknown> => ((await response.json()) as { error: unknown }).error

describe('the files door', () => {
  test('serves list, bytes and diff of a task to who has a proof, and proves itself', async () => {
    const { workspace, ask, door } = await makeDoor()
    await writeFile(join(workspace.repo, 'a.txt'), 'hello\n')
    expect(await (await ask(`${TASK}/files?limit=10`)).json()).toMatchObject({ files: [{ path: 'a.txt', size: 6, change: 'added' }] })
    const file = await ask(`${TASK}/file?path=a.txt&offset=1&limit=3`)
    expect([await file.text(), file.headers.get('x-longshore-size'), file.headers.get('x-longshore-head')]).toEqual(['ell', '6', Buffer.from('hello\n').toString('hex')])
    expect(await (await ask(`${TASK}/file?path=a.txt&offset=6&limit=3`)).text()).toBe('')
    expect(await (await ask(`${TASK}/diff?max_bytes=1000`)).json()).toMatchObject({ patch: expect.stringContaining('+hello') as string })
    const url = new URL(`${door.url}/${TASK}/files?limit=1`)
    expect((await fetch(url, { headers: proven(url, SECRET, 'n1') })).headers.get(FILES_PROOF)).toBe(proofOfAnswer(SECRET, 'n1'))
  })

  test('answers 401 to everything without a proof, also to one of another request, another secret or another door', async () => {
    const [{ door, ask }, other] = [await makeDoor(), await makeDoor()]
    const path = `${TASK}/files?limit=10`
    const url = new URL(`${door.url}/${path}`)
    const stolen = [
      {}, proven(new URL(`${url.href}0`), SECRET), proven(url, 'a guess'), proven(new URL(`${other.door.url}/${path}`), SECRET), { ...proven(url, SECRET), [FILES_NONCE]: 'another' },
      { authorization: `Bearer ${SECRET}`, [FILES_NONCE]: '', [FILES_PROOF]: '' },
    ]
    for (const headers of stolen) {
      const response = await fetch(url, { headers })
      expect([response.status, response.headers.get(FILES_PROOF), await errorOf(response)]).toMatchObject([401, null, { code: 'unauthorized' }])
      expect(response.headers.get('connection')).toBe('close')
    }
    for (const where of ['/', '/health', '/metrics', `/${TASK}/files`, '/%2e%2e/x']) expect((await fetch(new URL(where, url))).status).toBe(401)
    expect((await fetch(url, { method: 'POST', body: 'x', headers: proven(url, 'a guess') })).status).toBe(401)
    expect((await ask(path)).status).toBe(200)
  })

  test('asks for the secret again when it does not fit, not at every knock', async () => {
    let asked = 0
    const { ask } = await makeDoor({ secret: () => Promise.resolve((asked += 1) === 1 ? 'an older one' : SECRET) })
    expect((await ask(`${TASK}/files?limit=1`)).status).toBe(401)
    await waitFor(async () => (await ask(`${TASK}/files?limit=1`)).status === 200, { what: 'the new secret' })
    expect(asked).toBe(2)
  })

  test('refuses readably: no such file, a path that climbs, a task that never started, an unknown thing', async () => {
    const { ask } = await makeDoor()
    const refused = async (what: string) => errorOf(await ask(what))
    expect(await refused(`${TASK}/file?path=no&offset=0&limit=9`)).toMatchObject({ code: 'file_not_found', field: 'file_path' })
    expect(await refused(`${TASK}/file?path=..%2F..%2Fx&offset=0&limit=9`)).toMatchObject({ code: 'invalid_input', field: 'file_path' })
    expect(await refused(`${TASK}/file?path=x&offset=-1&limit=9`)).toMatchObject({ code: 'invalid_input' })
    expect(await refused(`task-${'b'.repeat(26)}/files?limit=9`)).toMatchObject({ code: 'not_started' })
    for (const what of ['..%2Fx/files', `${TASK}/constructor`, TASK, '']) expect(await refused(what)).toMatchObject({ code: 'unknown_operation' })
  })

  test('greets who has a proof, also while all places are taken', async () => {
    const { ask, door } = await makeDoor({ maxReads: 0 })
    expect([(await ask(FILES_GREETING)).status, (await ask(`${TASK}/files?limit=1`)).status, (await fetch(`${door.url}/${FILES_GREETING}`)).status]).toEqual([204, 503, 401])
  })

  test('answers a task in which it would look for too long in a way that no other worker is asked', async () => {
    const { workspace, ask } = await makeDoor()
    await writeFile(join(workspace.repo, '.gitignore'), '')
    await truncate(join(workspace.repo, '.gitignore'), 8 * 1024 ** 3)
    const response = await ask(`${TASK}/diff?max_bytes=9`)
    expect([response.status, await errorOf(response)]).toMatchObject([413, { code: 'payload_too_large', next: expect.stringContaining('read_task_file') as string }])
  })

  test('keeps no connection that asks for nothing', async () => {
    const { door } = await makeDoor()
    const { port, hostname, pathname } = new URL(door.url ?? '')
    const slow = connect(Number(port), hostname)
    open.push(() => Promise.resolve(slow.destroy()))
    const began = performance.now()
    slow.resume().write(`GET ${pathname} HTTP/1.1\r\nhost: x\r\n`)
    await once(slow, 'close')
    expect(performance.now() - began).toBeLessThan(12_000)
  })

  test('refuses a read above its limit with 503, and serves again when one that hangs is gone', async () => {
    const { door, workspace, ask } = await makeDoor({ maxReads: 1 })
    await writeFile(join(workspace.repo, 'large'), '')
    await truncate(join(workspace.repo, 'large'), 64 * 1024 * 1024)
    const url = new URL(`${door.url}/${TASK}/file?path=large&offset=0&limit=16000000`)
    const hanging = connect(Number(url.port), url.hostname)
    const headers = Object.entries(proven(url, SECRET)).map(([name, value]) => `${name}: ${value}\r\n`).join('')
    hanging.write(`GET ${url.pathname}${url.search} HTTP/1.1\r\nhost: x\r\n${headers}\r\n`)
    await once(hanging, 'data')
    hanging.pause()
    const files = `${TASK}/files?limit=1`
    const refused = await waitFor(async () => {
      const response = await ask(files)
      return response.status === 503 ? response : response.body?.cancel().then(() => undefined)
    }, { what: 'a refusal' })
    expect(await errorOf(refused)).toMatchObject({ code: 'unavailable', next: expect.any(String) as string })
    hanging.destroy()
    await waitFor(async () => (await ask(files)).status === 200, { what: 'a free place' })
  })

  test('streams 400 MB with flat memory', async () => {
    const { workspace, ask } = await makeDoor()
    await writeFile(join(workspace.repo, 'large'), '')
    await truncate(join(workspace.repo, 'large'), 400 * 1024 * 1024)
    const before = process.memoryUsage().rss
    let bytes = 0
    for (let offset = 0; offset < 400 * 1024 * 1024; offset += 10 * 1024 * 1024) {
      for await (const part of (await ask(`${TASK}/file?path=large&offset=${offset}&limit=${10 * 1024 * 1024}`)).body ?? []) bytes += part.length
    }
    expect(bytes).toBe(400 * 1024 * 1024)
    expect(process.memoryUsage().rss - before).toBeLessThan(200 * 1024 * 1024)
  })

  test('says nothing of its secret in its log, and announces the host name where it listens everywhere, or what it is told', async () => {
    const lines: unknown[] = []
    const log: Log = { debug: (...line) => lines.push(line), info: (...line) => lines.push(line), warn: (...line) => lines.push(line), error: (...line) => lines.push(line), child: () => log }
    const { ask, door } = await makeDoor({ log, host: '0.0.0.0', hostname: 'localhost' })
    await ask(`${TASK}/files?limit=1`)
    await ask(`${TASK}/files?limit=1`, 'a guess')
    expect(JSON.stringify(lines)).not.toContain(SECRET)
    expect(door.url).toMatch(/^http:\/\/localhost:\d+\/[0-9a-f]{16}$/)
    expect((await makeDoor({ url: 'http://worker.example:3461/' })).door.url).toMatch(/^http:\/\/worker\.example:3461\/[0-9a-f]{16}$/)
  })

  test('that cannot listen says so and leaves the worker alone', async () => {
    const taken = createServer()
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve))
    open.push(() => new Promise((resolve) => taken.close(resolve)))
    const said: string[] = []
    const log: Log = { ...SILENT, error: (_fields, message) => said.push(message) }
    const { port } = taken.address() as { port: number }
    expect((await makeDoor({ port, log })).door.url).toBeUndefined()
    expect(said.join('')).toContain('WORKER_FILES_PORT')
  })
})

describe('the places for reads', () => {
  const of = (taskId: string, what: 'files' | 'diff' | 'file') => ({ taskId, what })
  test('are two for a task, and the last two for reads that make nothing look', () => {
    const places = readPlaces(8)
    const leave = places.take(of('a', 'diff'))
    places.take(of('a', 'files'))
    expect(() => places.take(of('a', 'file'))).toThrow('2 reads of the task')
    for (const task of ['b', 'c', 'b', 'c']) places.take(of(task, 'diff'))
    expect(() => places.take(of('d', 'diff'))).toThrow('serves 6 reads')
    places.take(of('d', 'file'))
    places.take(of('d', 'file'))
    expect(() => places.take(of('e', 'file'))).toThrow('serves 8 reads')
    leave()
    places.take(of('a', 'file'))
  })
})
