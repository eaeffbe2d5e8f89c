import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import { isBeneath, TaskFailure } from '@longshore/contracts'
import ipaddr from 'ipaddr.js'

/** Where workers may go for repositories, and with what. */
export interface GitAccess {
  /** Address prefixes, or `https://*` for every host with a public address. A host that is named here may have any address. */
  allow: readonly string[]
  /** See git-credentials.ts. */
  credentialsFile: string
  timeoutMs: number
  limits: WorkspaceLimits
}

export interface WorkspaceLimits { bytes: number; files: number }

export const ANY_PUBLIC_HOST = 'https://*'

/**
 * The addresses that git may connect to for a repository, so that it does not look them up again: a name can mean another host a moment later.
 * @throws TaskFailure `workspace` when the operator does not allow it, `workspace_unreachable` when the name is not known
 */
export async function addressesFor(url: string, { allow }: Pick<GitAccess, 'allow'>): Promise<string[]> {
  const { hostname, protocol } = new URL(url)
  const host = hostname.replace(/^\[|\]$/g, '')
  const isNamed = allow.some((prefix) => prefix !== ANY_PUBLIC_HOST && isBeneath(url, prefix))
  if (!isNamed && !(protocol === 'https:' && allow.includes(ANY_PUBLIC_HOST))) throw new TaskFailure('workspace', `${url} is not among the addresses that the operator allows (WORKSPACE_GIT_ALLOW)`)
  const found = isIP(host) === 0 ? await resolved(host) : [host]
  const hidden = isNamed ? undefined : found.find((address) => !isPublic(address))
  if (hidden !== undefined) throw new TaskFailure('workspace', `${hostname} has an address that is not public; the operator can allow it by name (WORKSPACE_GIT_ALLOW)`)
  return found
}

async function resolved(host: string): Promise<string[]> {
  try {
    return (await lookup(host, { all: true })).map(({ address }) => address)
  } catch (error) {
    throw new TaskFailure('workspace_unreachable', `the name ${host} could not be looked up`, { cause: error })
  }
}

/** Neither loopback nor local, private, shared, reserved, nor one that wraps an IPv4 address. */
export function isPublic(address: string): boolean {
  return ipaddr.process(address).range() === 'unicast'
}
