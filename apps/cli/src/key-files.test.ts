import { randomUUID } from 'node:crypto'
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createApiKeys } from '@longshore/ledger'
import { sharedRedisUrl } from '@longshore/testkit'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { forgetKey, provisionKeys, readKey } from './key-files.ts'

let redis: Redis
let home: string
let deployment: string
beforeAll(() => { redis = new Redis(sharedRedisUrl()) })
afterAll(() => redis.disconnect())
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'longshore-keys-'))
  deployment = `t-${randomUUID().slice(0, 20)}`
  return () => rm(home, { recursive: true, force: true })
})

const provision = (given: { agent?: string; operator?: string } = {}) => provisionKeys(createApiKeys(redis, deployment), home, { ...given, agentId: 'agent-local' })

test('a first start makes two keys, in files for the owner only, digests in Redis', async () => {
  const keys = await provision()
  for (const role of ['agent', 'operator'] as const) {
    expect((await stat(join(home, 'keys', role))).mode & 0o777).toBe(0o600)
    expect(await readKey(home, role)).toBe(keys[role])
    for (const key of await redis.keys(`*${deployment}*`)) expect(JSON.stringify(await redis.hgetall(key))).not.toContain(keys[role])
  }
  const apiKeys = createApiKeys(redis, deployment)
  expect(await apiKeys.verify(keys.agent)).toMatchObject({ agent_id: 'agent-local', scopes: ['tasks'] })
  expect((await apiKeys.verify(keys.operator))?.agent_id).toBeUndefined()
})

test('a second start keeps the keys, also on a Redis that knows nothing', async () => {
  const keys = await provision()
  expect(await provision()).toEqual(keys)
  deployment = `t-${randomUUID().slice(0, 20)}`
  expect(await provision()).toEqual(keys)
  expect(await createApiKeys(redis, deployment).list()).toHaveLength(2)
})

test('given keys are used and kept in the files', async () => {
  const given = { agent: 'an-agents-own-key-1', operator: 'an-operators-key-1' }
  expect(await provision(given)).toEqual(given)
  expect((await readFile(join(home, 'keys/operator'), 'utf8')).trim()).toBe(given.operator)
  expect(await createApiKeys(redis, deployment).list()).toHaveLength(2)
})

test('a key of this home that is revoked does not come back with the next start', async () => {
  const keys = await provision()
  const apiKeys = createApiKeys(redis, deployment)
  const id = (await apiKeys.verify(keys.agent))?.id ?? ''
  expect(await forgetKey(apiKeys, home, id)).toBe('agent')
  await apiKeys.revoke(id)
  const next = await provision()
  expect(next.agent).not.toBe(keys.agent)
  expect(next.operator).toBe(keys.operator)
  expect(await apiKeys.verify(keys.agent)).toBeUndefined()
})

test('revoking some other key leaves this home alone', async () => {
  await provision()
  expect(await forgetKey(createApiKeys(redis, deployment), home, 'key-000000000000')).toBeUndefined()
})
