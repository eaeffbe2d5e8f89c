import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { waitFor } from '@longshore/testkit'
import { Queue, Worker } from 'bullmq'
import { Redis } from 'ioredis'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ensureRedis, type EnsuredRedis } from './ensure-redis.ts'

let home: string
const open: { stop(): Promise<unknown> }[] = []

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'longshore-home-'))
})
afterEach(async () => {
  for (const one of open.splice(0).toReversed()) await one.stop()
  await rm(home, { recursive: true, force: true })
})

async function start(env: NodeJS.ProcessEnv = process.env): Promise<{ redis: EnsuredRedis; client: Redis; said: string[] }> {
  const said: string[] = []
  const redis = await ensureRedis({ home, env, say: (line) => said.push(line) })
  open.push(redis)
  const client = new Redis(redis.url, { maxRetriesPerRequest: 1, retryStrategy: () => 20 })
  client.on('error', () => undefined)
  open.push({ stop: () => Promise.resolve(client.disconnect()) })
  return { redis, client, said }
}

async function processId(client: Redis): Promise<number> {
  return Number(/process_id:(\d+)/.exec(await client.info('server'))?.[1])
}

test('a Redis of the operator is used as it is and left running', async () => {
  const redis = await ensureRedis({ home, redisUrl: 'redis://elsewhere', env: {}, say: () => undefined })
  await redis.stop()
  expect(redis).toMatchObject({ url: 'redis://elsewhere', keeps: true })
})

test('a second start with the same home finds the data of the first', async () => {
  const first = await start()
  await first.client.set('task', 'kept')
  await first.redis.stop()
  const second = await start()
  expect(await second.client.get('task')).toBe('kept')
  expect(second.redis.keeps).toBe(true)
})

test('G1 every write is on disk before its answer, and nothing is evicted', async () => {
  const { client } = await start()
  expect(await client.config('GET', 'appendfsync')).toEqual(['appendfsync', 'always'])
  expect(await client.config('GET', 'maxmemory-policy')).toEqual(['maxmemory-policy', 'noeviction'])
})

test('a Redis that outlived a killed stack is taken over, and ends with the new one', async () => {
  const first = await start()
  const pid = await processId(first.client)
  const second = await start()
  expect(await processId(second.client)).toBe(pid)
  await second.redis.stop()
  await waitFor(() => !isAlive(pid), { what: 'the Redis to be gone' })
})

test('a Redis that was killed is started again with its data', async () => {
  const first = await start()
  await first.client.set('task', 'kept')
  process.kill(await processId(first.client), 'SIGKILL')
  const second = await start()
  expect(await second.client.get('task')).toBe('kept')
})

test('the password is its user\'s alone, and in no process list', async () => {
  const { redis, client } = await start()
  const password = decodeURIComponent(new URL(redis.url).password)
  for (const file of ['password', 'redis.conf', 'running.json']) expect((await stat(join(home, 'redis', file))).mode & 0o077).toBe(0)
  expect((await stat(join(home, 'redis'))).mode & 0o077).toBe(0)
  expect(await readFile(`/proc/${await processId(client)}/cmdline`, 'utf8')).not.toContain(password)
})

/** A machine with neither Redis, nor apt, nor docker. */
const BARE: NodeJS.ProcessEnv = { PATH: '/nonexistent' }

test('where nothing else can be had it runs in this process, says plainly that it keeps nothing, and carries BullMQ', async () => {
  const { redis, said } = await start(BARE)
  expect(redis.keeps).toBe(false)
  expect(said.at(-1)).toMatch(/WARNING: Redis runs inside this process and keeps nothing/)
  const connection = { url: redis.url, maxRetriesPerRequest: null }
  const queue = new Queue('q', { connection })
  const done: string[] = []
  const worker = new Worker('q', async (job) => void done.push(job.name), { connection })
  open.push({ stop: () => Promise.all([queue.close(), worker.close()]) })
  await queue.add('a', {})
  await waitFor(() => done.length === 1, { what: 'the job to be done' })
})

test('the one in this process asks for the password and listens on loopback only', async () => {
  const { redis } = await start(BARE)
  const stranger = new Redis(Number(new URL(redis.url).port), '127.0.0.1', { retryStrategy: () => null })
  stranger.on('error', () => undefined)
  open.push({ stop: () => Promise.resolve(stranger.disconnect()) })
  await expect(stranger.get('x')).rejects.toThrow('NOAUTH')
  const port = Number(new URL(redis.url).port).toString(16).toUpperCase().padStart(4, '0')
  expect(await readFile('/proc/net/tcp', 'utf8')).toContain(`0100007F:${port}`)
  expect(await readFile('/proc/net/tcp6', 'utf8')).not.toContain(`:${port} 0000`)
})

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
