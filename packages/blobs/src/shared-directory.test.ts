import { createHash } from 'node:crypto'
import { mkdtemp, readdir, readFile, rename, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'

import type { BlobStore } from '@longshore/contracts'

import { openSharedDirectory } from './shared-directory.ts'

const KEY = 'task-1.output'
let root: string
let store: BlobStore

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'longshore-blobs-'))
  store = openSharedDirectory(root)
})
afterEach(() => rm(root, { recursive: true, force: true }))

async function* pieces(...texts: string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield Buffer.from(text)
}

async function textOf(content: AsyncIterable<Uint8Array>): Promise<string> {
  return Buffer.concat(await allOf(content)).toString()
}

async function allOf<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}

async function read(key: string, range?: { start: number; end: number }): Promise<string | undefined> {
  const found = await store.get(key, range)
  return found === undefined ? undefined : textOf(found.content)
}

/** Where the only blob of a test lies. */
async function fileOfBlob(): Promise<string> {
  const names = await readdir(root, { recursive: true })
  return join(root, names.find((name) => name.endsWith(KEY)) ?? '')
}

test('a blob is read as it was put, whole or in part, with its size and checksum', async () => {
  const sha256 = createHash('sha256').update('one two three').digest('hex')
  expect(await store.put(KEY, pieces('one ', 'two ', 'three'))).toEqual({ bytes: 13, sha256 })
  expect(await read(KEY)).toBe('one two three')
  expect(await read(KEY, { start: 4, end: 7 })).toBe('two')
  expect(await read(KEY, { start: 8, end: 999 })).toBe('three')
  expect(await read(KEY, { start: 99, end: 999 })).toBe('')
  expect(await store.stat(KEY)).toMatchObject({ key: KEY, bytes: 13, sha256 })
})

test('an empty blob is a blob; one that was never put, or was deleted, is none', async () => {
  await store.put(KEY, pieces())
  expect(await read(KEY)).toBe('')
  expect(await store.delete(KEY)).toBe(true)
  expect(await store.delete(KEY)).toBe(false)
  expect(await store.get(KEY)).toBeUndefined()
  expect(await store.stat('task-2.output')).toBeUndefined()
})

test('the last put of a key wins, and a reader of the one before is told', async () => {
  await store.put(KEY, pieces('old'))
  const before = await store.get(KEY)
  await store.put(KEY, pieces('new'))
  expect(await read(KEY)).toBe('new')
  await expect(textOf(before?.content ?? pieces())).rejects.toMatchObject({ name: 'BlobFault', code: 'unavailable' })
})

test('what is too large, breaks off or is called off leaves nothing', async () => {
  await expect(store.put(KEY, pieces('12345', '6789'), { maxBytes: 8 })).rejects.toMatchObject({ code: 'too_large' })
  await expect(store.put(KEY, (async function* () {
    yield Buffer.from('half')
    throw Object.assign(new Error('the source broke'), { code: 'ENOENT' })
  })())).rejects.toThrow('the source broke')
  await expect(store.put(KEY, pieces('a', 'b'), { signal: AbortSignal.abort(new Error('called off')) })).rejects.toThrow('called off')
  expect(await store.stat(KEY)).toBeUndefined()
  expect(await readdir(join(root, 'drafts'))).toEqual([])
})

test('a blob is invisible until it is whole', async () => {
  const seen: unknown[] = []
  await store.put(KEY, (async function* () {
    yield Buffer.from('first half')
    seen.push(await store.stat(KEY), await allOf(store.list()))
  })())
  expect(seen).toEqual([undefined, []])
})

test.each([
  ['one byte is another', (content: Buffer) => { content.writeUInt8(content.readUInt8(1) ^ 1, 1); return content }],
  ['its end is missing', (content: Buffer) => content.subarray(0, -1)],
  ['its beginning is missing', (content: Buffer) => content.subarray(2)],
  ['nothing is left', () => Buffer.alloc(0)],
])('a damaged blob is not taken for whole: %s', async (_, damage) => {
  await store.put(KEY, pieces('the content of a blob'))
  const path = await fileOfBlob()
  await writeFile(path, damage(await readFile(path)))
  await expect(read(KEY)).rejects.toMatchObject({ name: 'BlobFault', code: 'damaged' })
  // The collector still finds and removes it.
  expect((await allOf(store.list())).map(({ key }) => key)).toEqual([KEY])
  expect(await store.delete(KEY)).toBe(true)
})

test('a link in place of a blob is not followed', async () => {
  await store.put(KEY, pieces('mine'))
  const path = await fileOfBlob()
  await rename(path, `${path}-elsewhere`)
  await symlink(`${path}-elsewhere`, path)
  await expect(store.get(KEY)).rejects.toMatchObject({ name: 'BlobFault' })
})

test('only the owner can read it', async () => {
  await store.put(KEY, pieces('mine'))
  const modes = await Promise.all([await fileOfBlob(), join(root, 'drafts')].map(async (path) => ((await stat(path)).mode & 0o777).toString(8)))
  expect(modes).toEqual(['600', '700'])
})

test('all blobs are listed, or those of one beginning', async () => {
  for (const key of ['task-1.output', 'task-1.manifest', 'task-10.output']) await store.put(key, pieces(key))
  const keys = async (prefix?: string) => (await allOf(store.list(prefix))).map(({ key }) => key).toSorted()
  expect(await keys()).toEqual(['task-1.manifest', 'task-1.output', 'task-10.output'])
  expect(await keys('task-1.')).toEqual(['task-1.manifest', 'task-1.output'])
  expect(await keys('task-3.')).toEqual([])
})

test('a key is no path', async () => {
  for (const key of ['../x.y', 'a/b.c', '.a.b', 'a..b', 'plain', 'A.b', 'a.b\n', `${'a'.repeat(65)}.b`, 'a.b\0']) {
    await expect(store.put(key, pieces('x'))).rejects.toMatchObject({ name: 'ZodError' })
  }
  expect(await allOf(store.list())).toEqual([])
})

test('what a writer that died has left is collected, what one writes now is not', async () => {
  await store.put(KEY, pieces('whole'))
  const long = new Date(Date.now() - 2 * 60 * 60_000)
  await writeFile(join(root, 'drafts', 'abandoned'), 'half')
  await utimes(join(root, 'drafts', 'abandoned'), long, long)
  await writeFile(join(root, 'drafts', 'fresh'), 'half')
  expect(await store.tidy(Date.now())).toBe(1)
  expect(await readdir(join(root, 'drafts'))).toEqual(['fresh'])
  expect(await read(KEY)).toBe('whole')
})

test('a store that cannot be written says so, and which setting names it', async () => {
  expect(await store.probe()).toEqual({ ok: true })
  await writeFile(join(root, 'file'), '')
  const broken = openSharedDirectory(join(root, 'file', 'below'))
  expect(await broken.probe()).toMatchObject({ ok: false, reason: expect.stringContaining('BLOBS_DIR') })
  await expect(broken.put(KEY, pieces('x'))).rejects.toMatchObject({ name: 'BlobFault', code: 'unavailable' })
})

test('200 MB go through in pieces', async () => {
  const piece = Buffer.alloc(1024 * 1024, 7)
  const before = process.memoryUsage().rss
  let most = 0
  await store.put(KEY, (async function* () {
    for (let i = 0; i < 200; i++) {
      yield piece
      most = Math.max(most, process.memoryUsage().rss - before)
    }
  })())
  let bytes = 0
  for await (const part of (await store.get(KEY))?.content ?? []) bytes += part.length
  expect(bytes).toBe(200 * 1024 * 1024)
  expect(most).toBeLessThan(128 * 1024 * 1024)
})
