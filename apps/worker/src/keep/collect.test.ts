import { execFileSync } from 'node:child_process'
import { chmod, mkdir, readdir, rm, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import { openStorage, type Storage, workspaceOf } from '@longshore/backends'
import { KEPT_BLOBS, keptKey, openSharedDirectory, sentKey } from '@longshore/blobs'
import { type BlobStore, type NewTask, SILENT, type TaskId } from '@longshore/contracts'
import { startRedis, type RedisServer } from '@longshore/testkit'

import { markFileOf } from '../ledger-mark.ts'
import { startStack, type TestStack } from '../testing/stack.ts'
import { createBlobCollector } from './collect-blobs.ts'
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

const DAY = 24 * 60 * 60_000
const NEVER = new AbortController().signal

async function* text(content: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(content)
}

/** A task that began on the storage and is over; with `edition`, kept. */
async function ended(edition?: string, more: Partial<NewTask> = {}): Promise<TaskId> {
  const { id, ticket } = await stack.submit('x', more)
  const take = await stack.ledger.take({ task_id: id, n: ticket }, 'w')
  if (take.kind !== 'taken') throw new Error(take.reason)
  const claim = { taskId: id, claim: take.task.claim }
  await stack.ledger.saveHandle(claim, { v: 1, mode: 'docker', storage_id: storage.id, data: {} })
  await stack.ledger.end(claim, { state: 'cancelled', payload: { by: 'test' } })
  await stack.ledger.strikeDebt(id)
  await mkdir(workspaceOf(storage, id).repo, { recursive: true })
  await writeFile(join(workspaceOf(storage, id).repo, 'a'), 'a')
  if (edition !== undefined) await keep(id, edition)
  return id
}

async function keep(id: TaskId, edition: string): Promise<void> {
  for (const what of [...KEPT_BLOBS, 'manifest'] as const) await store.put(keptKey(id, edition, what), text('20 bytes, all of them'))
  await stack.ledger.saveKept(id, { bytes: 100, edition })
}

async function blobsOf(id: TaskId): Promise<string[]> {
  const keys: string[] = []
  for await (const { key } of store.list(`${id}.`)) keys.push(key)
  return keys
}

describe('what is kept for too long', () => {
  const collector = (more: Partial<Parameters<typeof createBlobCollector>[0]> = {}, count: string[] = []) => createBlobCollector({
    ledger: stack.ledger, store, limits: { retentionMs: DAY, totalBytes: 1_000_000, agentBytes: undefined, archive: { retentionMs: 5 * DAY, totalBytes: 1_000_000 } }, isDryRun: false, name: 'w', now: () => Date.now() + 2 * DAY,
    onCollected: (why, n) => count.push(`${why} ${n}`), log: SILENT, ...more,
  })

  test('goes; the record says when and why, and files that others keep stay', async () => {
    const id = await ended('e1')
    await store.put(`${id}.sent`, text('sent along'))
    const counted: string[] = []
    await collector({ isDryRun: true }, counted)(NEVER)
    expect((await blobsOf(id)).length).toBe(6)
    await collector({}, counted)(NEVER)
    expect(await blobsOf(id)).toEqual([`${id}.sent`])
    expect((await stack.get(id)).kept?.gone).toMatchObject({ why: 'retention', at: expect.any(Number) })
    expect(counted).toEqual(['retention 1'])
    expect(await stack.ledger.keptTasks(0, 10)).toEqual([])
  })

  test('cut short in the middle, the next round goes on', async () => {
    const id = await ended('e1')
    let deletes = 0
    const dying: BlobStore = { ...store, delete: (key) => (++deletes > 2 ? Promise.reject(new Error('killed')) : store.delete(key)) }
    await expect(collector({ store: dying })(NEVER)).rejects.toThrow('killed')
    expect((await stack.get(id)).kept?.gone).toBeDefined()
    await collector()(NEVER)
    expect(await blobsOf(id)).toEqual([])
  })

  test('one worker at a time collects', async () => {
    const id = await ended('e1')
    expect(await stack.ledger.lease('collect-blobs', 'another', 60_000)).toBe(true)
    await collector()(NEVER)
    expect((await blobsOf(id)).length).toBe(5)
    await stack.ledger.release('collect-blobs', 'w')
    expect(await stack.ledger.lease('collect-blobs', 'w', 60_000)).toBe(false)
  })

  test('G10: editions that nothing names go after a day; of tasks that this ledger does not know nothing is touched', async () => {
    const id = await ended('e1')
    const unknown = `task-${'z'.repeat(26)}`
    for (const key of [keptKey(id, 'e0', 'tar'), keptKey(unknown, 'e0', 'tar')]) await store.put(key, text('x'))
    const old = new Date(Date.now() - 2 * DAY)
    for (const name of await readdir(join(stack.root, 'blobs'), { recursive: true })) if (/\.e\d\./.test(name)) await utimes(join(stack.root, 'blobs', name), old, old)
    const counted: string[] = []
    await collector({ now: Date.now }, counted)(NEVER)
    expect((await blobsOf(id)).length).toBe(5)
    expect(await blobsOf(unknown)).toEqual([keptKey(unknown, 'e0', 'tar')])
    expect(counted).toEqual(['nameless 1'])
  })
})

describe('files that were sent along', () => {
  const collector = (counted: string[] = [], more: Partial<Parameters<typeof createBlobCollector>[0]> = {}) => createBlobCollector({
    ledger: stack.ledger, store, limits: { retentionMs: DAY, totalBytes: 1_000_000, agentBytes: undefined, archive: { retentionMs: 5 * DAY, totalBytes: 1_000_000 } }, isDryRun: false, name: 'w', now: Date.now, onCollected: (why, n) => counted.push(`${why} ${n}`), log: SILENT, ...more,
  })
  async function put(key: string, isOld = true): Promise<string> {
    await store.put(key, text('x'))
    const old = new Date(Date.now() - 2 * DAY)
    for (const name of await readdir(join(stack.root, 'blobs'), { recursive: true })) if (isOld && name.endsWith(key)) await utimes(join(stack.root, 'blobs', name), old, old)
    return key
  }
  const there = async () => (await readdir(join(stack.root, 'blobs'), { recursive: true })).filter((name) => name.includes('.sent.')).map((name) => name.replace(/.*\//, '')).toSorted()

  test('stay with tasks that are live or poisoned; go with those that are over, and, after a day, those that were never accepted; G10: another ledger\'s stay', async () => {
    const { id: ours } = await stack.ledger.identity()
    const [live, over, justOver, poisoned] = [(await stack.submit('x')).id, await ended(), await ended(), await ended()]
    await stack.redis.zadd(`{ls:${stack.deployment}}:poisoned`, 1, poisoned)
    const [refused, underWay] = [`task-${'r'.repeat(26)}`, `task-${'s'.repeat(26)}`]
    const unreadable = await ended()
    await stack.redis.hset(`{ls:${stack.deployment}}:task:${unreadable}`, 'brief', '{')
    await expect(stack.ledger.get(unreadable)).rejects.toThrow('JSON')
    const stay = await Promise.all([put(sentKey(live, ours)), put(sentKey(underWay, ours), false), put(sentKey(poisoned, ours)), put(sentKey(refused, 'another-ledger')), put(sentKey(over, 'another-ledger')), put(sentKey(unreadable, ours))])
    const go = await Promise.all([put(sentKey(over, ours)), put(sentKey(justOver, ours), false), put(sentKey(refused, ours))])
    const counted: string[] = []
    await collector(counted, { isDryRun: true })(NEVER)
    expect(await there()).toEqual([...stay, ...go].toSorted())
    await collector(counted)(NEVER)
    expect(await there()).toEqual(stay.toSorted())
    expect(counted).toEqual(['sent 3'])
  })
})

describe('workspaces of ended tasks', () => {
  const remover = (more: Partial<Parameters<typeof createWorkspaceRemover>[0]> = {}) => createWorkspaceRemover({
    ledger: stack.ledger, storage, retentionMs: DAY, namedRetentionMs: 30 * DAY, isDryRun: false, markFile: join(storage.root, markFileOf(stack.deployment)), name: 'w', now: () => Date.now() + 2 * DAY, onRemoved: () => undefined, log: SILENT, ...more,
  })
  const there = async () => (await readdir(storage.root)).filter((name) => !name.startsWith('.longshore-storage') && !name.startsWith('.longshore-ledger')).toSorted()

  test('G10: go after their time, once they are kept; unknown, running, unkept and foreign folders stay', async () => {
    const [due, unkept, indebted] = [await ended('e1'), await ended(), await ended('e1')]
    const { id: live } = await stack.submit('x')
    await stack.redis.zadd(`{ls:${stack.deployment}}:debts`, 1, indebted)
    const strange = ['named-workspace', `task-${'q'.repeat(26)}`, live]
    for (const name of strange) await mkdir(join(storage.root, name))
    await remover({ now: Date.now })(NEVER)
    await remover({ isDryRun: true })(NEVER)
    expect(await there()).toContain(due)
    await remover()(NEVER)
    expect(await there()).toEqual([unkept, indebted, ...strange].toSorted())
  })

  test('one of a task that a build without a blob store ended is kept first', async () => {
    const old = await ended()
    await stack.redis.zrem(`{ls:${stack.deployment}}:keeps`, old)
    await remover({ isDryRun: true, name: 'v' })(NEVER)
    expect(await stack.ledger.keeps(0, 10)).toEqual([])
    await remover({ name: 'v' })(NEVER)
    expect([await stack.ledger.keeps(0, 10), await there()]).toEqual([[old], [old]])
  })

  test('G14: one that is deeper than any path, closed by its agent, goes like any other', async () => {
    const id = await ended('e1')
    execFileSync(process.execPath, ['-e', 'for (let i = 0; i < 25; i++) { fs.mkdirSync("d".repeat(200)); process.chdir("d".repeat(200)) }'], { cwd: workspaceOf(storage, id).repo })
    await chmod(workspaceOf(storage, id).repo, 0)
    await remover({ now: () => Date.now() + 8 * DAY })(NEVER)
    expect((await readdir(storage.root)).filter((name) => name.includes(id))).toEqual([])
  })

  test('a named workspace stays where its last task was, until the next one has it', async () => {
    const id = await ended('e1', { workspace: { name: 'app' } })
    await remover()(NEVER)
    expect(await there()).toEqual([id])
    await rm(workspaceOf(storage, id).repo, { recursive: true })
    await remover()(NEVER)
    expect(await there()).toEqual([])
  })

  test('a named workspace that no task used for long goes, and its name is free; one that a task waits for stays', async () => {
    const [unused, awaited] = [await ended('e1', { workspace: { name: 'app' } }), await ended('e1', { workspace: { name: 'other' } })]
    const names = `{ls:${stack.deployment}}:names:agent-a`
    for (const name of ['app', 'other']) await stack.redis.zadd(names, 1, name)
    await stack.submit('x', { workspace: { name: 'other' } })
    const late = () => Date.now() + 31 * DAY
    await remover({ now: late, isDryRun: true })(NEVER)
    expect([await there(), await stack.redis.zcard(names)]).toEqual([[unused, awaited].toSorted(), 2])
    await remover({ now: late })(NEVER)
    expect([await there(), await stack.redis.zrange(names, 0, '-1')]).toEqual([[awaited], ['other']])
  })

  test('G10: on a storage that is another ledger\'s nothing is touched', async () => {
    const due = await ended('e1')
    await writeFile(join(storage.root, markFileOf(stack.deployment)), 'another\n')
    await remover()(NEVER)
    expect(await there()).toEqual([due])
  })
})
