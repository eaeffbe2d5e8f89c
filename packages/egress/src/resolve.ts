import { lookup } from 'node:dns/promises'
import { isIP, type LookupFunction } from 'node:net'
import { isPublic, isWithin, type Range } from './address.ts'
import { Refused } from './refused.ts'
import { spell, type Target } from './target.ts'

export interface Address { address: string; family: number }
/** All addresses of a name. */
export type Resolve = (host: string) => Promise<Address[]>

export const bySystem: Resolve = (host) => lookup(host, { all: true })

/**
 * The addresses of a target that may be connected to. Whoever connects uses exactly these and asks no name server again:
 * a name that answers differently the second time (DNS rebinding) gains nothing. @throws Refused
 */
export async function addressesOf(target: Target, resolve: Resolve, ranges: readonly Range[]): Promise<Address[]> {
  const family = isIP(target.host)
  const shown = spell(target)
  const found = family === 0 ? await resolve(target.host).catch(() => []) : [{ address: target.host, family }]
  if (found.length === 0) throw new Refused('unresolved', shown, `${shown}: the name has no address`)
  const fine = found.filter(({ address }) => isPublic(address) || isWithin(address, ranges))
  if (fine.length === 0) throw new Refused('address', shown, `${shown} leads to this host, a private network or an address that is not public`)
  return fine
}

/** For `net.connect` and `http.request`: these and no others. */
export function pinned(addresses: readonly Address[]): LookupFunction {
  return (_host, options, callback) => {
    const [first] = addresses
    if (options.all === true) callback(null, [...addresses])
    else callback(null, first?.address ?? '', first?.family ?? 0)
  }
}
