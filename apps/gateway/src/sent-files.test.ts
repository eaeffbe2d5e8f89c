import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { openSharedDirectory, parseSentKey } from '@longshore/blobs'
import { type BlobStore, LongshoreError, type NewTask, SILENT, Task, unpackSent } from '@longshore/contracts'
import { sharedRedisUrl } from '@longshore/testkit'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { z } from 'zod'
import { type GatewayFixture, startGatewayFixture } from './gateway-fixture.ts'
import { callOk, callRefused, connectClient, type TestClient } from './mcp-clients.ts'
import { createSentFiles, submitWith } from './operations/sent-files.ts'

const SECRET = 'hunter2 in a file'
let fixture: GatewayFixture
let alice: TestClient
let root: string
let store: BlobStore
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'longshore-sent-'))
  store = openSharedDirectory(join(root, 'blobs'))
  fixture = await startGatewayFixture({ BLOBS_DIR: join(root, 'blobs') }, sharedRedisUrl())
  alice = await connectClient('1.x client', fixture.url, fixture.keys.alice)
})
beforeEach(async () => {
  for (const key of await keys()) await store.delete(key)
})
afterAll(async () => {
  await alice.close()
  await fixture.stop()
  await rm(root, { recursive: true, force: true })
})

const FILES = [{ path: 'src/a.txt', content: SECRET }, { path: 'b.bin', content: 'AP8=', encoding: 'base64' }]

async function keys(): Promise<string[]> {
  const all: string[] = []
  for await (const { key } of store.list()) all.push(key)
  return all
}

async function whole(key: string): Promise<Buffer> {
  const pieces: Uint8Array[] = []
  for await (const piece of (await store.get(key))?.content ?? []) pieces.push(piece)
  return Buffer.concat(pieces)
}

const Answer = z.looseObject({ task_id: z.string().optional(), is_new: z.boolean().optional(), error: z.object({ code: z.string(), message: z.string(), field: z.string().optional(), next: z.string().optional() }).optional() })
async function submit(workspace: unknown, more: object = {}, url = fixture.url): Promise<z.infer<typeof Answer>> {
  const headers = { authorization: `Bearer ${fixture.keys.alice}` }
  return Answer.parse(await (await fetch(`${url}/api/tasks`, { method: 'POST', headers, body: JSON.stringify({ task_description: 'x', mode: 'opencode', workspace, ...more }) })).json())
}

test('one blob holds what was sent; record and answers hold how much, the status also names, nobody holds contents', async () => {
  const asked = await callOk(alice, 'opencode_execute_task', { task_description: 'x', mode: 'opencode', workspace: { name: 'app', files: FILES } })
  const size = { count: 2, bytes: SECRET.length + 2, sha256: expect.stringMatching(/^[0-9a-f]{64}$/) as string }
  expect(asked).toMatchObject({ workspace: { name: 'app', files: size } })
  const [key = ''] = await keys()
  expect(parseSentKey(key)).toEqual({ taskId: asked['task_id'], ledgerId: (await fixture.ledger.identity()).id })
  expect(unpackSent(await whole(key)).map(({ path, content }) => [path, content.toString('latin1')])).toEqual([['b.bin', '\0\xFF'], ['src/a.txt', SECRET]])
  const status = await callOk(alice, 'get_task_status', { task_id: asked['task_id'] })
  expect(status).toMatchObject({ workspace: { files: size }, sent_files: [{ path: 'b.bin', size: 2 }, { path: 'src/a.txt', size: SECRET.length }] })
  const task = await fixture.ledger.get(String(asked['task_id']))
  expect(task?.workspace).toEqual({ name: 'app', files: { key, ...size } })
  expect(JSON.stringify([asked, status, task])).not.toContain('hunter2')
  expect(JSON.stringify([asked, status])).not.toContain(key)
  await store.delete(key)
  expect(await callOk(alice, 'get_task_status', { task_id: asked['task_id'] })).not.toHaveProperty('sent_files')
})

test('no files are no workspace, and no blob', async () => {
  expect(await submit({ files: [] })).not.toHaveProperty('workspace')
  expect(await keys()).toEqual([])
})

test('G2: the same key again is the same task with one blob, from any replica; with other files it is refused and leaves nothing', async () => {
  const replica = await fixture.replica()
  const more = { idempotency_key: 'files-1' }
  const first = await submit({ files: FILES }, more)
  const again = await submit({ files: FILES.toReversed() }, more, replica.url)
  expect([first.is_new, again.is_new, again.task_id]).toEqual([true, false, first.task_id])
  const other = await submit({ files: [{ path: 'src/a.txt', content: 'other' }] }, more, replica.url)
  expect(other.error).toMatchObject({ code: 'idempotency_conflict' })
  expect((await submit(undefined, more)).error).toMatchObject({ code: 'idempotency_conflict' })
  expect(await keys()).toEqual([expect.stringContaining(String(first.task_id))])
})

test.each([
  [{ path: '../x', content: '' }, 'workspace.files[1].path', '"../x"'], [{ path: '.GIT/config', content: '' }, 'workspace.files[1].path', '.git'], [{ path: 'a', content: '' }, 'workspace.files[1].path', 'files[0]'],
  [{ path: 'b', content: '%%', encoding: 'base64' }, 'workspace.files[1].content', 'base64'], [{ path: 'b', content: '', mode: 511 }, 'workspace.files[1]', 'mode'], [{ path: 'b', content: 'x'.repeat(1024 * 1024 + 1) }, 'workspace.files', '1048576'],
])('%# is refused by its field before anything is kept', async (file, field, word) => {
  const workspace = { files: [{ path: 'a', content: SECRET }, file] }
  const { error } = await submit(workspace)
  expect(error).toMatchObject({ code: 'invalid_input', field, message: expect.stringContaining(word) as string })
  expect(await callRefused(alice, 'opencode_execute_task', { task_description: 'x', workspace })).toMatchObject({ code: 'invalid_input', field })
  expect(JSON.stringify(error)).not.toContain('hunter2')
  expect(await keys()).toEqual([])
})

test('the most that is allowed fits beside the longest prompt; what does not fit is told where it belongs', async () => {
  const content = Buffer.alloc(1024 * 1024, 200).toString('base64')
  expect(await submit({ files: [{ path: 'a', content, encoding: 'base64' }] }, { task_description: '\u0001'.repeat(256 * 1024) })).toMatchObject({ is_new: true })
  const { error } = await submit({ files: [{ path: 'a', content: '\u0001'.repeat(1024 * 1024) }] })
  expect(error).toMatchObject({ code: 'payload_too_large', next: expect.stringContaining('base64') as string })
})

test('an agent\'s files wait in bounds: what is more is refused with the limit, and leaves nothing', async () => {
  const small = await startGatewayFixture({ BLOBS_DIR: join(root, 'blobs'), AGENT_SENT_BYTES: '4096' })
  try {
    const send = async () => Answer.parse(await (await small.request('/api/tasks', { method: 'POST', body: JSON.stringify({ task_description: 'x', mode: 'opencode', workspace: { files: [{ path: 'a', content: 'x'.repeat(2_000) }] } }) })).json())
    const { task_id: first = '' } = await send()
    expect(await send()).toMatchObject({ error: { code: 'overloaded', field: 'workspace.files', message: expect.stringContaining('allowed: 4096') as string, next: expect.stringContaining('AGENT_SENT_BYTES') as string } })
    expect(await keys()).toHaveLength(1)
    await small.ledger.cancel(first, 'op')
    expect(await send()).toMatchObject({ is_new: true })
  } finally {
    await small.stop()
  }
})

test('a store that cannot be written refuses the submit, says who can help, and leaves the key free', async () => {
  await writeFile(join(root, 'file'), '')
  const broken = await startGatewayFixture({ BLOBS_DIR: join(root, 'file', 'below') }, sharedRedisUrl())
  const ask = async (files: unknown) => Answer.parse(await (await broken.request('/api/tasks', { method: 'POST', body: JSON.stringify({ task_description: 'x', mode: 'opencode', idempotency_key: 'k', workspace: { files } }) })).json())
  try {
    const { error } = await ask(FILES)
    expect(error).toMatchObject({ code: 'unavailable', field: 'workspace.files', next: expect.stringContaining('BLOBS_DIR') as string })
    expect(JSON.stringify(error)).not.toContain(root)
    expect(await ask([])).toMatchObject({ is_new: true })
  } finally {
    await broken.stop()
  }
})

test('what is not known to be refused keeps its files, and so does our own submit that was sent twice', async () => {
  const port = createSentFiles({ store, ledgerId: () => Promise.resolve('ledger-1'), log: SILENT })
  const task: NewTask = { id: `task-${'s'.repeat(26)}`, agent_id: 'agent-alice', prompt: 'x', title: 'x', mode: 'opencode', profile: 'opencode', timeout_ms: 60_000, max_attempts: 1, observers: [] }
  const put = () => port.put(task.id, [{ path: 'a', content: 'A' }])
  const known = (id: string) => Task.parse({ ...task, id, v: 1, state: 'queued', claim: 0, attempt: 0, ticket: 1, created_at: 0, seq: 1, last_event_id: '' })
  const submitted = (answer: () => Promise<{ task: Task; isNew: boolean }>) => submitWith({ ledger: { submit: answer }, sent: port }, task, put).catch(() => undefined)
  await submitted(() => Promise.reject(new Error('Connection is closed.')))
  expect(await keys()).toHaveLength(1)
  await submitted(() => Promise.resolve({ task: known(task.id), isNew: false }))
  expect(await keys()).toHaveLength(1)
  await submitted(() => Promise.resolve({ task: known(`task-${'t'.repeat(26)}`), isNew: false }))
  expect(await keys()).toEqual([])
  await submitted(() => Promise.reject(new LongshoreError('overloaded', 'full')))
  expect(await keys()).toEqual([])
})

test('a poisoned task is replayed with its workspace and its files; when those are gone it says so', async () => {
  const operator = await connectClient('1.x client', fixture.url, fixture.keys.operator)
  const poisoned = async () => {
    const { task_id: id = '' } = await submit({ files: FILES }, { permissions: { bash: 'deny' } })
    await fixture.redis.zadd(`{ls:${fixture.deployment}}:poisoned`, 1, id)
    return id
  }
  const old = await poisoned()
  const next = await callOk(operator, 'replay_task', { task_id: old })
  expect(next).toMatchObject({ workspace: { files: { count: 2 } } })
  const [was, is] = [await fixture.ledger.get(old), await fixture.ledger.get(String(next['task_id']))]
  expect(is).toMatchObject({ permissions: { bash: 'deny' }, workspace: { files: { sha256: was?.workspace?.files?.sha256 } } })
  expect((await whole(is?.workspace?.files?.key ?? 'a.b')).equals(await whole(was?.workspace?.files?.key ?? 'a.b'))).toBe(true)
  const gone = await poisoned()
  await store.delete((await fixture.ledger.get(gone))?.workspace?.files?.key ?? 'a.b')
  expect(await callRefused(operator, 'replay_task', { task_id: gone })).toMatchObject({ code: 'not_supported', next: expect.stringContaining('Submit') as string })
  await operator.close()
})
