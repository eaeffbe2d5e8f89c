import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { gunzipSync } from 'node:zlib'

import type { NewTask, TaskId } from '@longshore/contracts'
import { createHeartbeats, type Heartbeat } from '@longshore/queue'
import { sharedRedisUrl } from '@longshore/testkit'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'

import { type GatewayFixture, startGatewayFixture } from './gateway-fixture.ts'
import { callOk, callRefused, CLIENT_KINDS, connectClient, type TestClient } from './mcp-clients.ts'

const TASK = `task-${'a'.repeat(26)}`
let fixture: GatewayFixture
let alice: TestClient
let root: string
let storageId: string
const open: (() => Promise<unknown>)[] = []

const put = async (path: string, content: string | Uint8Array): Promise<void> => {
  const full = join(root, TASK, 'repo', path)
  await mkdir(dirname(full), { recursive: true })
  await writeFile(full, content)
}

/** A door of a worker, in a process of its own, with an empty workspace of the task. */
async function startDoor(name: string): Promise<{ kill(): Promise<void> }> {
  const script = new URL('../../worker/src/testing/files-process.ts', import.meta.url)
  const child = fork(script, [JSON.stringify({ redisUrl: sharedRedisUrl(), deployment: fixture.deployment, root, name, task: TASK })], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  const [{ storage_id }] = await once(child, 'message') as [{ storage_id: string }]
  storageId = storage_id
  return { kill: async () => {
    child.kill('SIGKILL')
    if (child.signalCode === null) await once(child, 'exit')
  } }
}

/** A task of alice's as a worker leaves it once it began: with the address of what runs. */
async function begin(id: TaskId, storage: string | undefined): Promise<{ claim: number; taskId: TaskId }> {
  await submit(id)
  const take = await fixture.ledger.take({ task_id: id, n: 1 }, 'w1')
  if (take.kind !== 'taken') throw new Error(`the task is ${take.kind}`)
  const claim = { taskId: id, claim: take.task.claim }
  await fixture.ledger.saveHandle(claim, { v: 1, mode: 'opencode', ...(storage === undefined ? {} : { storage_id: storage }), data: {} })
  return claim
}
const submit = (id: TaskId): Promise<unknown> => fixture.ledger.submit({
  id, agent_id: 'agent-alice', prompt: 'x', title: 'x', mode: 'opencode', profile: 'opencode', timeout_ms: 60_000, max_attempts: 3, observers: [],
} satisfies NewTask)

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'longshore-gateway-files-'))
  fixture = await startGatewayFixture({ MAX_TASK_FILE_SIZE: '100000' })
  alice = await connectClient('1.x client', fixture.url, fixture.keys.alice)
  const door = await startDoor('w1')
  const claim = await begin(TASK, storageId)
  return async () => {
    await door.kill()
    await fixture.ledger.letGo(claim).catch(() => undefined)
  }
})
afterAll(async () => {
  await alice.close()
  await fixture.stop()
  await rm(root, { recursive: true, force: true })
})
afterEach(async () => {
  for (const close of open.splice(0).toReversed()) await close()
})

describe('L-39: the files of a task', () => {
  test('are listed, read and compared through both doors and every kind of client', async () => {
    await put('src/a.txt', 'hello\nworld\n')
    for (const kind of CLIENT_KINDS) {
      const client = await connectClient(kind, fixture.url, fixture.keys.alice)
      expect(await callOk(client, 'get_task_files', { task_id: TASK, path: 'src' })).toMatchObject({
        task_id: TASK, files_returned: 2, truncated: false, files: [{ path: 'src', type: 'directory' }, { path: 'src/a.txt', type: 'file', size: 12, change: 'added', modified_at: expect.stringMatching(/Z$/) as string }],
      })
      expect(await callOk(client, 'read_task_file', { task_id: TASK, file_path: 'src/a.txt' })).toMatchObject({ content: 'hello\nworld\n', encoding: 'text', size: 12, bytes: 12, has_more: false, media_type: 'text/plain; charset=utf-8' })
      expect(await callOk(client, 'get_task_diff', { task_id: TASK, path: 'src' })).toMatchObject({ patch: expect.stringContaining('+++ b/src/a.txt\n@@ -0,0 +1,2 @@\n+hello\n+world\n') as string, truncated: false, files_total: 1 })
      await client.close()
    }
    const get = async (path: string) => (await fixture.request(`/api/tasks/${TASK}${path}`)).json()
    expect(await get('/files?path=src&limit=1')).toMatchObject({ files_returned: 1, next_cursor: expect.any(String) as string })
    expect(await get('/file?file_path=src/a.txt&offset=6&limit=4')).toMatchObject({ content: 'worl', has_more: true, next_offset: 10 })
    expect(await get('/diff')).toMatchObject({ files: expect.arrayContaining([{ path: 'src/a.txt', change: 'added' }]) as unknown })
  })

  test('are read in slices that cut no character, binary as base64, at most MAX_TASK_FILE_SIZE at once', async () => {
    const text = 'ä€😀'.repeat(30_000)
    await put('long.txt', text)
    let said = ''
    for (let offset: unknown = 0, slices = 0; offset !== undefined; slices += 1) {
      const slice = await callOk(alice, 'read_task_file', { task_id: TASK, file_path: 'long.txt', offset, limit: 1_000_000 })
      expect([slice['encoding'], slice['size'], (slice['bytes'] as number) <= 100_000, slices < 5]).toEqual(['text', 270_000, true, true])
      said += slice['content'] as string
      offset = slice['next_offset']
    }
    expect(said).toBe(text)
    await put('photo', Buffer.from('89504e470d0a1a0a00ff', 'hex'))
    expect(await callOk(alice, 'read_task_file', { task_id: TASK, file_path: 'photo' })).toMatchObject({ encoding: 'base64', content: 'iVBORw0KGgoA/w==', media_type: 'image/png' })
    expect(await callOk(alice, 'read_task_file', { task_id: TASK, file_path: 'photo', encoding: 'text' })).toMatchObject({ encoding: 'text', lossy: true })
    expect(await callOk(alice, 'read_task_file', { task_id: TASK, file_path: 'photo', offset: 99 })).toMatchObject({ content: '', bytes: 0, has_more: false, size: 10 })
  })

  test('of 100 MB are read with flat memory', async () => {
    await put('large', '')
    await truncate(join(root, TASK, 'repo/large'), 100 * 1024 * 1024)
    const before = process.memoryUsage().rss
    for (let offset = 0; offset < 1_000 * 100_000; offset += 1_000_000) {
      expect((await fixture.request(`/api/tasks/${TASK}/file?file_path=large&offset=${offset}&limit=100000`)).ok).toBe(true)
    }
    expect(process.memoryUsage().rss - before).toBeLessThan(150 * 1024 * 1024)
  })

  const REFUSED = [
    ['../../storage-id', 'invalid_input'], ['/etc/passwd', 'invalid_input'], ['a\0b', 'invalid_input'], ['', 'invalid_input'], ['link', 'invalid_input'], ['..%2f..%2fetc/passwd', 'file_not_found'], ['no', 'file_not_found'],
  ] as const
  test.each([...REFUSED, ['x'.repeat(20_000), 'invalid_input']] as const)('that may not be read are refused readably, naming the field: %j', async (file_path, code) => {
    await symlink('/etc/passwd', join(root, TASK, 'repo/link')).catch(() => undefined)
    expect(await callRefused(alice, 'read_task_file', { task_id: TASK, file_path })).toMatchObject({ code, field: 'file_path' })
  })

  test.each(REFUSED)('that may not be read are refused by status over HTTP: %j', async (file_path, code) => {
    expect((await fixture.request(`/api/tasks/${TASK}/file?${new URLSearchParams({ file_path }).toString()}`)).status).toBe(code === 'file_not_found' ? 404 : 400)
  })

  test('G13, L-40: output and archive come live, and what a ghost wrote behind what counts does not', async () => {
    await put('src/a.txt', 'hello\n')
    await mkdir(join(root, TASK, 'control/output'), { recursive: true })
    await writeFile(join(root, TASK, 'control/output/1'), 'said by the first and by a ghost')
    await writeFile(join(root, TASK, 'control/output/2'), ', then by the second')
    const part = (claim: number, bytes: number, storage_id = storageId) => ({ claim, attempt: 1, bytes, storage_id })
    const claim = { taskId: TASK, claim: 1 } as const
    await fixture.ledger.append(claim, [{ type: 'task.output', payload: { text: 'x', stream: 'agent' } }], 'p', [part(1, 17), part(2, 20)])
    const [said, both] = ['said by the first', 'said by the first, then by the second']
    expect(await callOk(alice, 'get_task_output', { task_id: TASK })).toMatchObject({ content: both, size: 37, has_more: false, status: 'running' })
    expect(await callOk(alice, 'get_task_output', { task_id: TASK, offset: 5, limit: 4 })).toMatchObject({ content: 'by t', next_offset: 9, has_more: true })
    expect(await (await fixture.request(`/api/tasks/${TASK}/output`, { headers: { range: 'bytes=-20' } })).text()).toBe(both.slice(said.length))
    const archive = Buffer.from(await (await fixture.request(`/api/tasks/${TASK}/archive`)).arrayBuffer())
    const tar = gunzipSync(archive)
    expect(tar.includes(`${TASK}/src/a.txt`) && tar.includes('hello\n')).toBe(true)
    expect(await callRefused(alice, 'get_task_archive', { task_id: `task-${'z'.repeat(26)}` })).toMatchObject({ code: 'task_not_found' })
  })

  test('over HTTP all of the output comes, or as much as was asked for', async () => {
    await mkdir(join(root, TASK, 'control/output'), { recursive: true })
    await writeFile(join(root, TASK, 'control/output/1'), 'x'.repeat(70_000))
    await fixture.ledger.append({ taskId: TASK, claim: 1 }, [{ type: 'task.output', payload: { text: 'x', stream: 'agent' } }], 'p', [{ claim: 1, attempt: 1, bytes: 70_000, storage_id: storageId }])
    const bytesOf = async (query: string) => (await (await fixture.request(`/api/tasks/${TASK}/output${query}`)).text()).length
    expect([await bytesOf(''), await bytesOf('?limit=65536'), await bytesOf('?limit=80000&offset=-10')]).toEqual([70_000, 65_536, 10])
    expect(await callOk(alice, 'get_task_output', { task_id: TASK })).toMatchObject({ bytes: 65_536, has_more: true })
  })

  test('G11: of another agent are those of no task; an operator reads them', async () => {
    await put('src/a.txt', 'hello\n')
    const bob = await connectClient('1.x client', fixture.url, fixture.keys.bob)
    const operator = await connectClient('1.x client', fixture.url, fixture.keys.operator)
    open.push(() => bob.close(), () => operator.close())
    for (const [tool, more] of [['get_task_files', {}], ['read_task_file', { file_path: 'src/a.txt' }], ['get_task_diff', {}]] as const) {
      const [foreign, unknown] = [await callRefused(bob, tool, { task_id: TASK, ...more }), await callRefused(bob, tool, { task_id: `task-${'z'.repeat(26)}`, ...more })]
      expect(foreign).toMatchObject({ code: 'task_not_found' })
      expect({ ...foreign, message: '' }).toEqual({ ...unknown, message: '' })
      await callOk(operator, tool, { task_id: TASK, ...more })
    }
  })

  test('that are not there yet, or that no live worker has, are refused with what to do', async () => {
    const [queued, taken, elsewhere] = [`task-${'q'.repeat(26)}`, `task-${'t'.repeat(26)}`, `task-${'e'.repeat(26)}`]
    await submit(queued)
    expect(await callRefused(alice, 'get_task_files', { task_id: queued })).toMatchObject({ code: 'not_started', next: expect.stringContaining('get_task_status') as string })
    await submit(taken)
    await fixture.ledger.take({ task_id: taken, n: 1 }, 'w1')
    expect(await callRefused(alice, 'get_task_files', { task_id: taken })).toMatchObject({ code: 'not_started' })
    await begin(elsewhere, 'a storage that is gone')
    expect(await callRefused(alice, 'get_task_diff', { task_id: elsewhere })).toMatchObject({ code: 'unavailable', next: expect.stringContaining('storage') as string })
  })

  test('are served by any worker of the storage: one that died and one that lies are passed over, and neither learns the secret', async () => {
    await put('src/a.txt', 'hello\n')
    const asked: string[] = []
    // What an agent could start on the port that a dead worker left.
    const liar = createServer((request, response) => {
      asked.push(JSON.stringify(request.headers))
      response.writeHead(200, { 'x-longshore-proof': 'a guess', 'x-longshore-size': 4, 'x-longshore-modified': 0, 'x-longshore-head': '' }).end('lies')
    })
    await new Promise<void>((resolve) => liar.listen(0, '127.0.0.1', resolve))
    open.push(() => new Promise((resolve) => liar.close(resolve)))
    const heartbeats = createHeartbeats(fixture.redis, fixture.deployment)
    const beat = (name: string, port: number): Promise<unknown> => heartbeats.beat({
      v: 1, name, host: 'h', version: '0', started_at: 0, slots: 1, running: 0, draining: false, storage_id: storageId, files_url: `http://127.0.0.1:${port}/0123456789abcdef`, modes: [],
    } satisfies Heartbeat)
    await beat('a-liar', (liar.address() as AddressInfo).port)
    await beat('b-dead', 9)
    open.push(() => heartbeats.remove('a-liar'), () => heartbeats.remove('b-dead'))
    expect(await callOk(alice, 'read_task_file', { task_id: TASK, file_path: 'src/a.txt' })).toMatchObject({ content: 'hello\n' })
    const secret = await fixture.redis.get(`{ls:${fixture.deployment}}:files-secret`)
    expect(asked).toHaveLength(1)
    expect(asked[0]).not.toContain(secret)
  })
})

test('after the end of a task its files are there, from another worker of the storage', async () => {
  const id = `task-${'a'.repeat(26)}`
  await put('src/a.txt', 'hello\n')
  const task = await fixture.ledger.get(id)
  await fixture.ledger.end({ taskId: id, claim: task?.claim ?? 0 }, { state: 'completed', payload: { result: { output: '', output_truncated: false, files_changed: 1 } } })
  open.push((await startDoor('w2')).kill)
  await createHeartbeats(fixture.redis, fixture.deployment).remove('w1')
  expect(await callOk(alice, 'get_task_status', { task_id: id })).toMatchObject({ status: 'completed' })
  expect(await callOk(alice, 'read_task_file', { task_id: id, file_path: 'src/a.txt' })).toMatchObject({ content: 'hello\n' })
  expect(await callOk(alice, 'get_task_diff', { task_id: id, path: 'src' })).toMatchObject({ files_total: 1 })
})
