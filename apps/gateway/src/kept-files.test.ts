import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'

import { keptKey, Manifest, openSharedDirectory, toLine } from '@longshore/blobs'
import { type BlobContent, NewTask, type TaskId } from '@longshore/contracts'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { type GatewayFixture, startGatewayFixture } from './gateway-fixture.ts'
import { callOk, callRefused, connectClient, type TestClient } from './mcp-clients.ts'

const TASK: TaskId = `task-${'k'.repeat(26)}`
const OUTPUT = `${'é'.repeat(100)}\n<b>end</b> \u001B[31m`
let fixture: GatewayFixture
let alice: TestClient
let blobs: string

async function* bytes(content: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(content)
}

/** A task of alice's that is over, and what a worker kept of it. No worker is there. */
async function keepTask(id: TaskId): Promise<void> {
  const store = openSharedDirectory(blobs)
  await fixture.ledger.submit(NewTask.parse({ id, agent_id: 'agent-alice', prompt: 'x', title: 'x', mode: 'opencode' }))
  const take = await fixture.ledger.take({ task_id: id, n: 1 }, 'w1')
  if (take.kind !== 'taken') throw new Error(take.reason)
  await fixture.ledger.end({ taskId: id, claim: take.task.claim }, { state: 'cancelled', payload: { by: 'test' } })
  const put = (what: Parameters<typeof keptKey>[2], content: string): Promise<BlobContent> => store.put(keptKey(id, 'e1', what), bytes(content))
  const manifest: Manifest = {
    v: 1, task_id: id, edition: 'e1', notes: { output: 'the disk took no more of it' }, diff: { files_total: 1, truncated: false }, tree: { entries: 1, truncated: false, left_out: 0, left_out_bytes: 0 },
    blobs: {
      output: await put('output', OUTPUT), tar: await put('tar', 'HEADERhello'), index: await put('index', toLine({ name: 'a.txt', type: 'file', size: 5, modified_at: 1_000, change: 'added', offset: 6 }).toString()),
      diff: await put('diff', toLine({ path: 'a.txt', change: 'added', patch: 'diff --git a/a.txt b/a.txt\n+hello\n' }).toString()),
    },
  }
  await put('manifest', JSON.stringify(Manifest.parse(manifest)))
  await fixture.ledger.saveKept(id, { bytes: 1, edition: 'e1' })
}

beforeAll(async () => {
  blobs = await mkdtemp(join(tmpdir(), 'longshore-gateway-blobs-'))
  fixture = await startGatewayFixture({ MAX_TASK_FILE_SIZE: '100000', BLOBS_DIR: blobs })
  alice = await connectClient('1.x client', fixture.url, fixture.keys.alice)
  await keepTask(TASK)
})
afterAll(async () => {
  await alice.close()
  await fixture.stop()
  await rm(blobs, { recursive: true })
})

const path = (what: string, id: string = TASK) => `/api/tasks/${id}/${what}`

describe('L-39, L-40: an ended task, without any worker', () => {
  test('tree, file and diff come from the blob store', async () => {
    expect(await callOk(alice, 'get_task_files', { task_id: TASK })).toMatchObject({ files: [{ path: 'a.txt', type: 'file', size: 5, change: 'added', modified_at: '1970-01-01T00:00:01.000Z' }] })
    expect(await callOk(alice, 'read_task_file', { task_id: TASK, file_path: 'a.txt', offset: 1, limit: 4 })).toMatchObject({ content: 'ello', size: 5, has_more: false })
    expect(await callOk(alice, 'get_task_diff', { task_id: TASK })).toMatchObject({ files_total: 1, files_shown: 1, patch: expect.stringContaining('+hello') as string })
    expect(await callRefused(alice, 'read_task_file', { task_id: TASK, file_path: '../a.txt' })).toMatchObject({ code: 'invalid_input', field: 'file_path' })
  })

  test('the output comes in slices that split no character, from either end, and says what is missing', async () => {
    const first = await callOk(alice, 'get_task_output', { task_id: TASK, limit: 5 })
    expect(first).toMatchObject({ content: 'éé', bytes: 4, next_offset: 4, has_more: true, size: Buffer.byteLength(OUTPUT), status: 'cancelled', note: 'the disk took no more of it' })
    const { next_offset: next } = first
    expect(await callOk(alice, 'get_task_output', { task_id: TASK, offset: next })).toMatchObject({ content: OUTPUT.slice(2), has_more: false })
    expect(await callOk(alice, 'get_task_output', { task_id: TASK, offset: -8, limit: 100 })).toMatchObject({ content: 'b> \u001B[31m' })
    expect(await callOk(alice, 'get_task_output', { task_id: TASK, offset: 10_000 })).toMatchObject({ content: '', bytes: 0, has_more: false })
  })

  test('over HTTP it is a stream, with ranges, that no browser renders', async () => {
    const whole = await fixture.request(path('output'))
    expect(whole.headers.get('content-type')).toBe('text/plain; charset=utf-8')
    expect(whole.headers.get('x-content-type-options')).toBe('nosniff')
    expect(await whole.text()).toBe(OUTPUT)
    const part = await fixture.request(path('output'), { headers: { range: 'bytes=2-5' } })
    expect([part.status, part.headers.get('content-range'), await part.text()]).toEqual([206, `bytes 2-5/${Buffer.byteLength(OUTPUT)}`, 'éé'])
    expect((await fixture.request(path('output'), { headers: { range: 'bytes=9999-' } })).status).toBe(416)
    expect((await fixture.request(`${path('output')}?unknown=1`)).status).toBe(400)
  })

  test('the archive is a download', async () => {
    expect(await callOk(alice, 'get_task_archive', { task_id: TASK })).toMatchObject({ path: path('archive'), media_type: 'application/gzip' })
    const response = await fixture.request(path('archive'))
    expect(response.headers.get('content-disposition')).toBe(`attachment; filename="${TASK}.tar.gz"`)
    expect(gunzipSync(Buffer.from(await response.arrayBuffer())).toString()).toBe('HEADERhello')
  })

  test('G11: another agent\'s task and an unknown one give the same answer', async () => {
    for (const what of ['output', 'archive', 'files']) {
      const [foreign, unknown] = [await fixture.request(path(what), { key: fixture.keys.bob }), await fixture.request(path(what, `task-${'0'.repeat(26)}`), { key: fixture.keys.bob })]
      expect([foreign.status, unknown.status]).toEqual([404, 404])
      expect((await foreign.text()).replaceAll(TASK, 'T')).toBe((await unknown.text()).replaceAll(`task-${'0'.repeat(26)}`, 'T'))
    }
  })

  test('what was collected says when and why', async () => {
    const id: TaskId = `task-${'g'.repeat(26)}`
    await keepTask(id)
    await fixture.ledger.saveGone(id, 'agent_bytes')
    expect(await callRefused(alice, 'get_task_output', { task_id: id })).toMatchObject({ code: 'file_not_found', message: expect.stringMatching(/was removed on 2\d{3}-.*BLOB_AGENT_BYTES/) as string })
    expect((await fixture.request(path('archive', id))).status).toBe(404)
  })

  test('a store that lost it says so, and which setting is to be looked at', async () => {
    const id: TaskId = `task-${'l'.repeat(26)}`
    await keepTask(id)
    await openSharedDirectory(blobs).delete(keptKey(id, 'e1', 'manifest'))
    expect(await callRefused(alice, 'get_task_output', { task_id: id })).toMatchObject({ code: 'unavailable', message: expect.stringContaining('BLOBS_DIR') as string })
  })

  test('/ready says how the store stands', async () => {
    const { checks } = await (await fixture.request('/ready')).json() as { checks: { name: string; ok: boolean }[] }
    expect(checks.find(({ name }) => name === 'blobs')).toMatchObject({ ok: true })
  })
})
