import { randomBytes } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import { openStorage, prepareWorkspace, type Storage, workspaceOf } from '@longshore/backends'
import { type KeptTask, openKept, openSharedDirectory } from '@longshore/blobs'
import { type BlobStore, SILENT, type Task, type TaskId, taskIdFrom } from '@longshore/contracts'
import { startRedis, type RedisServer, waitFor } from '@longshore/testkit'

import { markFileOf } from '../ledger-mark.ts'
import { startStack, type TestStack } from '../testing/stack.ts'
import { keepTask } from './keep-task.ts'
import { createWorkspaceRemover } from './remove-workspaces.ts'

let server: RedisServer
let stack: TestStack
let storage: Storage
let store: BlobStore
beforeAll(async () => {
  server = await startRedis({ aof: 'always' })
})
afterAll(() => server.stop())
beforeEach(async () => {
  stack = await startStack(server.url)
  storage = await openStorage(join(stack.root, 'storage'))
  store = openSharedDirectory(join(stack.root, 'blobs'))
})
afterEach(() => stack.stop())

const KEEPING = { maxBytes: 64 * 1024 * 1024 }

async function textOf(content: AsyncIterable<Uint8Array>): Promise<string> {
  const pieces: Uint8Array[] = []
  for await (const piece of content) pieces.push(piece)
  return Buffer.concat(pieces).toString()
}

const untilKept = (id: TaskId) => waitFor(async () => (await stack.get(id)).kept, { what: `${id} to be kept`, timeoutMs: 60_000 })

async function kept(id: TaskId): Promise<KeptTask> {
  const opened = await openKept(store, id, (await untilKept(id)).edition)
  if (opened === undefined) throw new Error('nothing is kept')
  return opened
}

/** A task that is over, with a workspace that was filled after its start; nobody has kept it. */
async function endedTask(files: Record<string, string>, before: Record<string, string> = {}): Promise<Task> {
  const worker = await stack.worker({ storageId: storage.id })
  const { id } = await stack.submit('echo hello')
  await stack.until(id, 'completed')
  await worker.stop()
  const workspace = workspaceOf(storage, id)
  const fill = async (all: Record<string, string>) => {
    for (const [name, content] of Object.entries(all)) {
      await mkdir(join(workspace.repo, name, '..'), { recursive: true })
      await writeFile(join(workspace.repo, name), content)
    }
  }
  await mkdir(workspace.repo, { recursive: true })
  await fill(before)
  await prepareWorkspace(workspace)
  for (const name of Object.keys(before)) if (files[name] === undefined) await rm(join(workspace.repo, name))
  await fill(files)
  return stack.get(id)
}

describe('what a task leaves', () => {
  test('is kept after its end: output, diff, tree and contents, read without its storage', async () => {
    const { id } = await endedTask({ 'src/a.txt': 'new\n', 'b.txt': 'changed\n', 'c.txt': 'same\n' }, { 'b.txt': 'old\n', 'c.txt': 'same\n', 'gone.txt': 'gone\n' })
    await stack.worker({ keeping: KEEPING })
    const task = await kept(id)
    await rm(storage.root, { recursive: true })
    const { files, truncated } = await task.list({ path: '/', limit: 100, cursor: undefined })
    expect(files.map(({ path, type, change }) => [path, type, change])).toEqual([
      ['b.txt', 'file', 'modified'], ['c.txt', 'file', undefined], ['gone.txt', 'file', 'deleted'], ['src', 'directory', undefined], ['src/a.txt', 'file', 'added'],
    ])
    expect(truncated).toBe(false)
    expect(await textOf((await task.file('src/a.txt')).content({ start: 0, end: 99 }))).toBe('new\n')
    expect(await textOf((await task.file('./b.txt')).content({ start: 2, end: 5 }))).toBe('ang')
    const diff = await task.diff({ path: undefined, maxBytes: 10_000 })
    expect(diff).toMatchObject({ files_total: 3, files_shown: 3, truncated: false })
    expect(diff.patch).toContain('-old\n+changed\n')
    expect((await task.diff({ path: 'src', maxBytes: 10_000 })).files).toEqual([{ path: 'src/a.txt', change: 'added' }])
    expect(await task.diff({ path: undefined, maxBytes: 200 })).toMatchObject({ truncated: true, files_total: 3, files_shown: 1 })
  })

  test('the output of a task that a worker with a storage ran is kept', async () => {
    await stack.worker({ keeping: KEEPING })
    const { id } = await stack.submit('echo whole output')
    await stack.until(id, 'completed')
    const { total, content } = await (await kept(id)).output()
    expect([total, await textOf(content)]).toEqual([13, 'whole output\n'])
  })

  test('pages of a kept tree, in any folder, hold each name once', async () => {
    const names = Array.from({ length: 60 }, (_, i) => `d${i % 7}/n${String(i).padStart(3, '0')}\n${'x'.repeat(150)}`)
    const { id } = await endedTask(Object.fromEntries(names.map((name) => [name, name])))
    await stack.worker({ keeping: KEEPING })
    const task = await kept(id)
    const seen: string[] = []
    for (let cursor: string | undefined; ;) {
      const page = await task.list({ path: '/', limit: 7, cursor })
      seen.push(...page.files.map(({ path }) => path))
      cursor = page.next_cursor
      if (cursor === undefined) break
    }
    const folders = new Set(names.map((name) => name.slice(0, 2)))
    expect(seen).toEqual([...names, ...folders].toSorted((a, b) => (a.replaceAll('/', '\0') < b.replaceAll('/', '\0') ? -1 : 1)))
    expect((await task.list({ path: 'd3', limit: 100, cursor: undefined })).files.length).toBe(10)
    await expect(task.list({ path: 'd9', limit: 1, cursor: undefined })).rejects.toMatchObject({ code: 'file_not_found' })
    for (const name of names) expect(await textOf((await task.file(name)).content({ start: 0, end: Infinity }))).toBe(name)
  })

  test('G14: a path is only a name', async () => {
    const { id } = await endedTask({ 'a.txt': 'a' })
    await stack.worker({ keeping: KEEPING })
    const task = await kept(id)
    for (const path of ['../a.txt', '/etc/passwd', 'a\0.txt', '\uD800']) await expect(task.file(path)).rejects.toMatchObject({ code: 'invalid_input', field: 'file_path' })
    for (const path of ['a', 'a.txt/b', 'a.txt.', '%2e%2e/a.txt']) await expect(task.file(path)).rejects.toMatchObject({ code: 'file_not_found' })
  })

  test('what exceeds the limit of a task is left out and named; what the task changed comes first', async () => {
    const { id } = await endedTask({ 'a-old': 'o'.repeat(60_000), 'z-new': 'n'.repeat(60_000) }, { 'a-old': 'o'.repeat(60_000) })
    const small = await openKept(store, id, (await keepTask({ store, storage, maxBytes: 150_000, log: SILENT }, await stack.get(id), AbortSignal.timeout(120_000))).edition)
    await expect(small?.file('a-old')).rejects.toMatchObject({ code: 'invalid_input', message: expect.stringContaining('BLOB_TASK_BYTES') })
    expect(small?.manifest.tree).toMatchObject({ left_out: 1, left_out_bytes: 60_000 })
    expect((await small?.file('z-new'))?.size).toBe(60_000)
  })

  test('cut short anywhere, nothing half is visible, and it is done again', async () => {
    const task = await endedTask({ 'a.txt': 'a'.repeat(300_000) })
    for (const nth of [1, 2, 3]) {
      let puts = 0
      const dying: BlobStore = { ...store, put: (...args) => (++puts >= nth ? Promise.reject(new Error('killed')) : store.put(...args)), delete: () => Promise.reject(new Error('dead')) }
      await expect(keepTask({ store: dying, storage, maxBytes: 10_000_000, log: SILENT }, task, AbortSignal.timeout(120_000))).rejects.toThrow('killed')
    }
    expect((await stack.get(task.id)).kept).toBeUndefined()
    expect(await stack.ledger.keeps(0, 10)).toEqual([task.id])
    await stack.worker({ keeping: KEEPING })
    expect((await (await kept(task.id)).file('a.txt')).size).toBe(300_000)
    expect(await stack.ledger.keeps(0, 10)).toEqual([])
  })

  test('SIGKILL of the worker that keeps: another does it', async () => {
    const doomed = await stack.workerProcess('doomed', { keeping: KEEPING })
    const { id } = await stack.submit('echo said')
    await waitFor(async () => (await stack.get(id)).state === 'completed', { what: 'the end' })
    doomed.kill('SIGKILL')
    await doomed.exited
    await stack.worker({ keeping: KEEPING })
    expect(await textOf((await (await kept(id)).output()).content)).toBe('said\n')
  })

  test('a blob that was changed behind our back is not taken for what was kept', async () => {
    const { id } = await endedTask({ 'a.txt': 'a' })
    await stack.worker({ keeping: KEEPING })
    const task = await kept(id)
    const file = (await readdir(join(stack.root, 'blobs'), { recursive: true })).find((name) => name.endsWith('.diff')) ?? ''
    const content = await readFile(join(stack.root, 'blobs', file))
    content.writeUInt8(content.readUInt8(3) ^ 1, 3)
    await writeFile(join(stack.root, 'blobs', file), content)
    await expect(task.diff({ path: undefined, maxBytes: 1_000 })).rejects.toMatchObject({ name: 'BlobFault', code: 'damaged' })
  })

  test('a workspace that goes on to a later task in the middle is not kept as this one\'s', async () => {
    const task = await endedTask({ 'a.txt': 'mine' })
    const { repo } = workspaceOf(storage, task.id)
    const moving: BlobStore = { ...store, put: async (key, source, options) => {
      if (key.endsWith('.tar')) {
        // The walk has it open, and goes on in it.
        const pieces = source[Symbol.asyncIterator]()
        const first = await pieces.next()
        await rename(repo, `${repo}-of-the-next`)
        await writeFile(join(`${repo}-of-the-next`, 'b.txt'), 'not mine')
        await pieces.return?.()
        return store.put(key, (async function* () { if (first.done !== true) yield first.value })(), options)
      }
      return store.put(key, source, options)
    } }
    const keeping = { storage, maxBytes: 1_000_000, log: SILENT }
    await expect(keepTask({ ...keeping, store: moving }, task, AbortSignal.timeout(120_000))).rejects.toThrow('later task')
    expect((await readdir(join(stack.root, 'blobs'), { recursive: true })).filter((name) => name.includes(task.id))).toEqual([])
    const { edition } = await keepTask({ ...keeping, store }, task, AbortSignal.timeout(120_000))
    await expect((await openKept(store, task.id, edition))?.archive()).rejects.toMatchObject({ code: 'file_not_found', message: expect.stringContaining('not there any more') })
  })

  test('a task that failed before it had a workspace counts as kept: what lies there can be removed', async () => {
    const { id, ticket } = await stack.submit('x')
    const take = await stack.ledger.take({ task_id: id, n: ticket }, 'w')
    if (take.kind !== 'taken') throw new Error(take.reason)
    const claim = { taskId: id, claim: take.task.claim }
    await stack.ledger.saveHandle(claim, { v: 1, mode: 'docker', storage_id: storage.id, data: {} })
    await mkdir(workspaceOf(storage, id).control, { recursive: true })
    await stack.ledger.end(claim, { state: 'failed', payload: { failure: { code: 'workspace', message: 'no such ref' } } })
    await stack.ledger.strikeDebt(id)
    await stack.worker({ keeping: KEEPING })
    expect((await (await kept(id)).list({ path: '/', limit: 1, cursor: undefined })).files).toEqual([])
  })

  test('one that ended between two attempts, before it said a word, is kept where its workspace is found', async () => {
    const { id, ticket } = await stack.submit('x')
    await stack.ledger.take({ task_id: id, n: ticket }, 'w')
    await stack.ledger.saveHandle({ taskId: id, claim: 1 }, { v: 1, mode: 'docker', storage_id: storage.id, data: {} })
    const workspace = workspaceOf(storage, id)
    await prepareWorkspace(workspace)
    await stack.ledger.requeue({ taskId: id, claim: 1 }, { reason: 'retry', failure: { code: 'image_pull', message: 'm' }, delayMs: 60_000 })
    await stack.ledger.cancel(id, 'op')
    expect(await stack.ledger.keeps(0, 10)).toEqual([])
    await createWorkspaceRemover({
      ledger: stack.ledger, storage, retentionMs: 0, namedRetentionMs: 0, isDryRun: false, markFile: join(storage.root, markFileOf(stack.deployment)), name: 'w', now: Date.now, onRemoved: () => undefined, log: SILENT,
    })(AbortSignal.timeout(20_000))
    await stack.worker({ keeping: KEEPING })
    expect((await untilKept(id)).bytes).toBeGreaterThan(0)
  })

  test('any number of tasks on a storage that is gone does not stand before those of this one', async () => {
    const { id } = await endedTask({ 'a.txt': 'a' })
    const prefix = `{ls:${stack.deployment}}:`
    const handle = JSON.stringify({ v: 1, mode: 'docker', storage_id: 'gone', data: {} })
    const others = stack.redis.pipeline()
    for (let i = 0; i < 1_001; i++) {
      const other = taskIdFrom(randomBytes(52))
      others.copy(`${prefix}task:${id}`, `${prefix}task:${other}`).hset(`${prefix}task:${other}`, 'handle', handle).zadd(`${prefix}keeps`, i + 1, other)
    }
    await others.exec()
    await stack.worker({ keeping: KEEPING })
    expect((await (await kept(id)).file('a.txt')).size).toBe(1)
  })
})
