import { isIP } from 'node:net'
import type { Target } from './target.ts'

/** One entry: `example.com`, `*.example.com` (its subdomains, not itself), either with `:port`. */
export interface Allowed { host: string; isWildcard: boolean; port?: number }

/** What is reached without a port of its own in the list. */
export const WEB_PORTS: readonly number[] = [80, 443]

const ENTRY = /^(\*\.)?([^\s:/*?#@\\]+)(?::(\d{1,5}))?$/

/** @throws Error that says what an entry may be */
export function parseAllowed(entry: string): Allowed {
  const [, wildcard, name, port] = ENTRY.exec(entry) ?? []
  const host = name !== undefined && URL.canParse(`http://${name}/`) ? new URL(`http://${name}/`).hostname.replace(/\.$/, '') : ''
  const number = port === undefined ? undefined : Number(port)
  if (host === '' || (wildcard !== undefined && isIP(host) !== 0) || (number !== undefined && (number < 1 || number > 65_535))) {
    throw new Error(`"${entry}" is not a host: give example.com, *.example.com (all its subdomains) or example.com:8443`)
  }
  return { host, isWildcard: wildcard !== undefined, ...(number === undefined ? {} : { port: number }) }
}

/** Whether the list names the target: its host and, without a port in the entry, a port of the web. */
export function isListed(list: readonly Allowed[], { host, port }: Target): boolean {
  return list.some((one) => isNamed(one, host) && (one.port === undefined ? WEB_PORTS.includes(port) : one.port === port))
}

/** Whether its host is named with some port: then it is the port that is refused. */
export function isHostListed(list: readonly Allowed[], { host }: Pick<Target, 'host'>): boolean {
  return list.some((one) => isNamed(one, host))
}

function isNamed({ host, isWildcard }: Allowed, asked: string): boolean {
  return isWildcard ? asked.endsWith(`.${host}`) : asked === host
}
