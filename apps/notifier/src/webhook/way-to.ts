import type { LookupFunction } from 'node:net'

import { addressesOf, pinned, Refused, type Resolve, targetOf } from '@longshore/egress'

/** Where a hook may go. `lookup` undefined: wherever the name leads. */
export type Way = { kind: 'open'; lookup: LookupFunction | undefined } | { kind: 'closed'; reason: string } | { kind: 'unresolved'; reason: string }

/**
 * The way to an address that a task named: to public addresses only, and to exactly those that were looked at, so that a name
 * which means another host a moment later (DNS rebinding) gains nothing.
 */
export async function wayToStranger(url: URL, resolve: Resolve): Promise<Way> {
  const target = targetOf(url.href, Number(url.port || (url.protocol === 'https:' ? 443 : 80)))
  if (target === undefined) return { kind: 'closed', reason: 'not an address that can be posted to' }
  try {
    return { kind: 'open', lookup: pinned(await addressesOf(target, resolve, [])) }
  } catch (error) {
    if (!(error instanceof Refused)) throw error
    return { kind: error.reason === 'unresolved' ? 'unresolved' : 'closed', reason: error.message }
  }
}
