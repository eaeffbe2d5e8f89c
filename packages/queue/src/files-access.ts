import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'

import type { DeploymentId } from '@longshore/contracts'
import type { Redis } from 'ioredis'

import { queueKeys } from './names.ts'

/**
 * How a gateway and a worker's files door know each other. The secret never travels: a worker that died may have left its port to a program
 * of an agent, which would be asked in its place until the last heartbeat is forgotten. It gets one proof for one request to a door that is
 * gone, and cannot answer with one itself.
 */
export const FILES_NONCE = 'x-longshore-nonce'
export const FILES_PROOF = 'x-longshore-proof'
/** What a gateway asks a door for before anything else: a door answers at once, a program that took its port does not. */
export const FILES_GREETING = 'here'

/** The deployment's secret, made by whoever asks first. */
export function createFilesSecret(redis: Redis, deployment: DeploymentId): () => Promise<string> {
  const key = queueKeys(deployment).filesSecret
  return async () => {
    const known = await redis.get(key)
    if (known !== null) return known
    await redis.set(key, randomBytes(32).toString('base64url'), 'NX')
    return await redis.get(key) ?? Promise.reject(new Error('the secret of the files doors is gone again'))
  }
}

/** @param target path and query of the request; the path begins with what is the door's alone */
export function proofOfRequest(secret: string, nonce: string, target: string): string {
  return proof(secret, ['ask', nonce, target])
}

export function proofOfAnswer(secret: string, nonce: string): string {
  return proof(secret, ['answer', nonce])
}

/** In constant time. */
export function isProof(given: unknown, expected: string): boolean {
  if (typeof given !== 'string') return false
  const [one, other] = [Buffer.from(given), Buffer.from(expected)]
  return one.length === other.length && timingSafeEqual(one, other)
}

function proof(secret: string, words: readonly string[]): string {
  return createHmac('sha256', secret).update(JSON.stringify(words)).digest('base64url')
}
