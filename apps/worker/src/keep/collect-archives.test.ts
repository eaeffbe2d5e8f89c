import { readdir, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'

import { conversationKey, KEPT_BLOBS, keptKey, openSharedDirectory } from '@longshore/blobs'
import { type BlobStore, SILENT, type TaskId } from '@longshore/contracts'
import { startRedis, type RedisServer } from '@longshore/testkit'

import { startStack, type TestStack } from '../testing/stack.ts'
import { createBlobCollector } from './collect-blobs.ts'

let server: RedisServer
let stack: TestStack
let store: BlobStore
beforeAll(async () => {
  server = await startRedis({ aof: 'always' })
})
afterAll(() => server.stop())
beforeEach(async () => {
  stack = await startStack(server.url)
  store = openSharedDirectory(join(stack.root, 'blobs'))
})
afterEach(() => stack.stop())

const DAY = 24 * 60 * 60_000
const NEVER = new AbortController().signal

async function* text(content: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(content)
}

/** A task that is over and kept; with `edition`, its conversation is archived. */
async function ended(edition?: string): Promise<TaskId> {
  const { id } = await stack.submit('x')
  await stack.ledger.cancel(id, 'test')
  for (const what of [...KEPT_BLOBS, 'manifest'] as const) await store.put(keptKey(id, 'e1', what), text('20 bytes, all of them'))
  await stack.ledger.saveKept(id, { bytes: 100, edition: 'e1' })
  if (edition === undefined) return id
  await store.put(conversationKey(id, edition), text('{}'))
  await stack.ledger.saveArchived(id, { by: 'test', edition, bytes: 60, messages: 1 })
  return id
}

async function blobsOf(id: TaskId): Promise<string[]> {
  const keys: string[] = []
  for await (const { key } of store.list(`${id}.`)) keys.push(key)
  return keys
}

const collect = async (daysOn: number, more: Partial<Parameters<typeof createBlobCollector>[0]> = {}): Promise<string[]> => {
  const counted: string[] = []
  const limits = { retentionMs: DAY, totalBytes: 1_000_000, agentBytes: undefined, archive: { retentionMs: 5 * DAY, totalBytes: 100 } }
  await createBlobCollector({ ledger: stack.ledger, store, limits, isDryRun: false, name: 'w', now: () => Date.now() + daysOn * DAY, onCollected: (why, n) => counted.push(`${why} ${n}`), log: SILENT, ...more })(NEVER)
  return counted
}

test('what an archived task left stays as long as its archive; then both go, and the record says so', async () => {
  const [plain, archived] = [await ended(), await ended('a1')]
  expect(await collect(2)).toEqual(['retention 1'])
  expect([(await blobsOf(plain)).length, (await blobsOf(archived)).length]).toEqual([0, 6])
  expect(await collect(6, { isDryRun: true })).toEqual([])
  expect(await collect(6)).toEqual(['retention 1', 'archive 1'])
  expect(await blobsOf(archived)).toEqual([])
  expect((await stack.get(archived)).archived).toMatchObject({ messages: 1, gone: { why: 'retention', at: expect.any(Number) as number } })
  expect(await stack.ledger.archivedTasks(0, 10)).toEqual([])
  // The first word stands: an archive that was collected does not come back.
  expect(await stack.ledger.saveArchived(archived, { by: 'test', edition: 'a2', bytes: 1, messages: 1 })).toMatchObject({ edition: 'a1', gone: {} })
})

test('of more than may be kept the oldest goes', async () => {
  const [first, second] = [await ended('a1'), await ended('a1')]
  expect(await collect(0)).toEqual(['archive 1'])
  expect((await stack.get(first)).archived?.gone?.why).toBe('total_bytes')
  expect(await blobsOf(second)).toContain(conversationKey(second, 'a1'))
  // What its task left is kept no longer than that of others by then.
  expect((await stack.ledger.keptTasks(0, 10)).map(({ id, isArchived }) => [id, isArchived])).toEqual([[first, undefined], [second, true]])
})

test('G10: documents that no record names go after a day; of tasks that this ledger does not know nothing is touched', async () => {
  const id = await ended('a1')
  const unknown = `task-${'z'.repeat(26)}`
  for (const key of [conversationKey(id, 'a0'), conversationKey(unknown, 'a0')]) await store.put(key, text('x'))
  const old = new Date(Date.now() - 2 * DAY)
  for (const name of await readdir(join(stack.root, 'blobs'), { recursive: true })) if (name.endsWith('.conversation')) await utimes(join(stack.root, 'blobs', name), old, old)
  expect(await collect(0)).toEqual(['nameless 1'])
  expect((await blobsOf(id)).filter((key) => key.endsWith('.conversation'))).toEqual([conversationKey(id, 'a1')])
  expect(await blobsOf(unknown)).toEqual([conversationKey(unknown, 'a0')])
})
