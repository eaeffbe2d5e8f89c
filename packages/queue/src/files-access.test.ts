import { randomUUID } from 'node:crypto'

import { sharedRedisUrl } from '@longshore/testkit'
import { Redis } from 'ioredis'
import { afterAll, expect, test } from 'vitest'

import { createFilesSecret, isProof, proofOfAnswer, proofOfRequest } from './files-access.ts'

const redis = new Redis(sharedRedisUrl())
afterAll(() => redis.disconnect())

test('a deployment has one secret, whoever asks first, and no other has it', async () => {
  const [deployment, other] = [`t-${randomUUID().slice(0, 20)}`, `t-${randomUUID().slice(0, 20)}`]
  const secrets = await Promise.all([1, 2, 3].map(() => createFilesSecret(redis, deployment)()))
  expect(new Set(secrets).size).toBe(1)
  expect(secrets[0]).toMatch(/^[\w-]{43}$/)
  expect(await createFilesSecret(redis, other)()).not.toBe(secrets[0])
})

test('a proof is for one secret, nonce and target, and one of an answer is none of a request', () => {
  const proof = proofOfRequest('s', 'n', '/t')
  expect(isProof(proof, proofOfRequest('s', 'n', '/t'))).toBe(true)
  for (const other of [proofOfRequest('x', 'n', '/t'), proofOfRequest('s', 'x', '/t'), proofOfRequest('s', 'n', '/x'), proofOfAnswer('s', 'n')]) expect(isProof(other, proof)).toBe(false)
  for (const nothing of [undefined, null, '', ['x'], proof.slice(1)]) expect(isProof(nothing, proof)).toBe(false)
})
