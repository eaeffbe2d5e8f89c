import { access, readFile } from 'node:fs/promises'
import { Redis } from 'ioredis'
import { afterEach, expect, test } from 'vitest'
import { waitFor } from '../wait-for.ts'
import { type RedisServer, startRedis, type StartRedisOptions } from './redis.ts'
import { sharedRedisUrl } from './shared-redis.ts'

const open: { stop(): Promise<void> }[] = []

afterEach(async () => {
  for (const one of open.splice(0).toReversed()) await one.stop()
})

async function redisOf(options?: StartRedisOptions): Promise<{ server: RedisServer; client: Redis }> {
  const server = await startRedis(options)
  const client = new Redis(server.url, { maxRetriesPerRequest: null, retryStrategy: () => 20 })
  client.on('error', () => undefined)
  open.push(server, { stop: () => Promise.resolve(client.disconnect()) })
  return { server, client }
}

test('what was written under aof always is there after SIGKILL and restart', async () => {
  const { server, client } = await redisOf({ aof: 'always' })
  await client.set('kept', 'yes')
  const killed = server.pid
  await server.kill9()
  await server.restart()
  expect(server.pid).not.toBe(killed)
  expect(await client.get('kept')).toBe('yes')
  expect(await client.config('GET', 'appendfsync')).toEqual(['appendfsync', 'always'])
})

test('without aof a SIGKILL loses everything', async () => {
  const { server, client } = await redisOf()
  await client.set('kept', 'no')
  await server.kill9()
  await server.restart()
  expect(await client.get('kept')).toBeNull()
})

test('a stalled server answers nobody until it goes on', async () => {
  const { server, client } = await redisOf()
  await client.ping()
  server.stall()
  let answered = false
  const pong = client.ping().then(() => (answered = true))
  await expect(waitFor(() => answered, { what: 'an answer', timeoutMs: 100 })).rejects.toThrow('in vain')
  server.cont()
  expect(await pong).toBe(true)
})

test('a stall with a time ends by itself', async () => {
  const { server, client } = await redisOf()
  const begun = performance.now()
  server.stall(150)
  await client.ping()
  expect(performance.now() - begun).toBeGreaterThan(140)
})

test.runIf(process.platform === 'linux')('the password is asked for and stands in no process list', async () => {
  const { server, client } = await redisOf({ password: 'pass"word\\ 1' })
  expect(await client.ping()).toBe('PONG')
  expect(await readFile(`/proc/${server.pid}/cmdline`, 'utf8')).not.toContain('pass')
  const stranger = new Redis(server.port, '127.0.0.1', { retryStrategy: () => null })
  stranger.on('error', () => undefined)
  open.push({ stop: () => Promise.resolve(stranger.disconnect()) })
  await expect(stranger.get('x')).rejects.toThrow('NOAUTH')
})

test('stop leaves neither process nor folder, also when it was stalled', async () => {
  const server = await startRedis()
  server.stall()
  await server.stop()
  expect(() => process.kill(server.pid, 0)).toThrow('ESRCH')
  await expect(access(server.dir)).rejects.toThrow('ENOENT')
})

test('a taken port is a readable error', async () => {
  const { server } = await redisOf()
  await expect(startRedis({ port: server.port })).rejects.toThrow(/did not come up on port \d+:[^]*Address already in use/)
})

test('the shared Redis of the run never evicts', async () => {
  const client = new Redis(sharedRedisUrl())
  open.push({ stop: () => Promise.resolve(client.disconnect()) })
  expect(await client.config('GET', 'maxmemory-policy')).toEqual(['maxmemory-policy', 'noeviction'])
})
