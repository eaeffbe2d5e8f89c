import { randomBytes } from 'node:crypto'
import { sharedRedisUrl } from '@longshore/testkit'
import { Redis } from 'ioredis'
import { afterAll, expect, test } from 'vitest'

import { createDeadLetters } from './dead-letters.ts'
import { noteSink, outboxPrefix } from './script.ts'

const redis = new Redis(sharedRedisUrl())
afterAll(() => redis.disconnect())

async function aDeployment(...sinks: string[]) {
  const deployment = `o-${randomBytes(5).toString('hex')}`
  for (const sink of sinks) await noteSink(redis, deployment, sink)
  const bury = async (sink: string, id: string, at: number, notice: object = { kind: 'completion', task_id: 'task-1' }) => {
    const prefix = outboxPrefix(deployment, sink)
    await redis.hset(`${prefix}dead:letters`, id, JSON.stringify({ at, reason: 'why', lane: 'room', line: 'top', notice: JSON.stringify(notice), frozen: '{}' }))
    await redis.zadd(`${prefix}dead:times`, at, id)
  }
  return { deployment, bury, dead: createDeadLetters(redis, deployment) }
}

test('the dead letters of all sinks are listed newest first, in pages', async () => {
  const { bury, dead } = await aDeployment('matrix', 'webhook')
  await bury('matrix', 'a', 1)
  await bury('webhook', 'b', 2)
  await bury('matrix', 'c', 3, { kind: 'reply' })
  const ids = async (limit: number, offset: number) => (await dead.list(limit, offset)).letters.map(({ sink, id }) => `${sink} ${id}`)
  expect(await ids(10, 0)).toEqual(['matrix c', 'webhook b', 'matrix a'])
  expect(await ids(1, 1)).toEqual(['webhook b'])
  expect(await dead.list(0, 0)).toMatchObject({ total: 3 })
  expect((await dead.list(1, 0)).letters[0]).not.toHaveProperty('task_id')
})

test('a replay puts a letter back into its lane, once; a newer version of it that waits already stays', async () => {
  const { deployment, bury, dead } = await aDeployment('matrix')
  const prefix = outboxPrefix(deployment, 'matrix')
  await bury('matrix', 'card:task-1', 1)
  await bury('matrix', 'completion:task-1:E', 2)
  await redis.hset(`${prefix}outbox`, 'card:task-1', 'newer')
  expect([await dead.replay('all'), await dead.replay('all')]).toEqual([2, 0])
  expect(await redis.hget(`${prefix}outbox`, 'card:task-1')).toBe('newer')
  expect(await redis.zrange(`${prefix}line:top:room`, '0', '-1')).toEqual(['completion:task-1:E'])
  expect(await redis.zscore(`${prefix}lanes`, 'room')).not.toBeNull()
})
