import { LongshoreError } from '@longshore/contracts'
import type { ApiKey, ApiKeys } from '@longshore/ledger'

import { toDoorError } from './door-error.ts'
import type { Caller } from './operations/operation.ts'

/** A revoked key works at most this long (ms): verifying every call in Redis would cost each a round trip. */
const KEY_TTL_MS = 2_000
/** While Redis is away nothing can be revoked either: a key that was good lately gets the tools' readable `unavailable`. */
const STALE_TTL_MS = 60_000
/** Redis that hangs must not hold requests for ever. */
const VERIFY_TIMEOUT_MS = 5_000
const MAX_REMEMBERED = 1_000

/** Tells who calls, from the Authorization header. @throws LongshoreError unauthorized, unavailable */
export type CheckKey = (authorization: string | undefined) => Promise<Caller>

/** @param now monotonic milliseconds */
export function createKeyCheck(apiKeys: Pick<ApiKeys, 'verify'>, now: () => number): CheckKey {
  const remembered = new Map<string, { caller: Caller; at: number }>()
  return async (authorization) => {
    const key = bearerOf(authorization)
    const known = remembered.get(key)
    if (known !== undefined && now() - known.at < KEY_TTL_MS) return known.caller
    const apiKey = await verify(apiKeys, key).catch((thrown: unknown) => {
      const error = toDoorError(thrown)
      if (error.code === 'unavailable' && known !== undefined && now() - known.at < STALE_TTL_MS) return known
      throw error
    })
    if (apiKey !== undefined && 'caller' in apiKey) return apiKey.caller
    remembered.delete(key)
    if (apiKey === undefined) throw refusal('the API key is not known here')
    const caller = callerOf(apiKey)
    if (remembered.size >= MAX_REMEMBERED) remembered.clear()
    remembered.set(key, { caller, at: now() })
    return caller
  }
}

function callerOf({ id, agent_id, scopes }: ApiKey): Caller {
  return { keyId: id, agentId: agent_id, isOperator: scopes.includes('operate'), scopes }
}

function verify(apiKeys: Pick<ApiKeys, 'verify'>, key: string): Promise<ApiKey | undefined> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new LongshoreError('unavailable', 'the API key could not be checked: Redis does not answer', { next: 'Try again in some seconds.' })), VERIFY_TIMEOUT_MS)
  })
  return Promise.race([apiKeys.verify(key), late]).finally(() => clearTimeout(timer))
}

function bearerOf(authorization: string | undefined): string {
  if (authorization === undefined) throw refusal('no API key was sent')
  const key = /^Bearer +([^\s]{1,512})$/i.exec(authorization)?.[1]
  if (key === undefined) throw refusal('the Authorization header is not "Bearer <key>"')
  return key
}

function refusal(message: string): LongshoreError {
  return new LongshoreError('unauthorized', message, { next: 'Send "Authorization: Bearer <key>" with a key that `longshore keys` made and nobody revoked.' })
}
