import { networkInterfaces } from 'node:os'
import ipaddr from 'ipaddr.js'

// What no agent may reach through us, whatever a name resolves to: this host, its local networks, and the services
// at which clouds give out credentials. Public is what the registries call global unicast, and nothing else.

/** A range that the operator lets allow-listed names resolve to. */
export type Range = ReturnType<typeof ipaddr.parseCIDR>

/** Instance metadata that does not lie in a private range. */
const METADATA = new Set(['168.63.129.16', 'fd00:ec2::254'])

/** Whether an IP address is a public one that is not this host's own; anything that is no address is not. */
export function isPublic(address: string, own: ReadonlySet<string> = ownAddresses()): boolean {
  if (!ipaddr.isValid(address) || METADATA.has(address) || own.has(address)) return false
  return ipaddr.process(address).range() === 'unicast'
}

/** Whether it lies in one of the ranges. Link-local never does: there the credentials of clouds are. */
export function isWithin(address: string, ranges: readonly Range[]): boolean {
  if (!ipaddr.isValid(address) || METADATA.has(address)) return false
  const parsed = ipaddr.process(address)
  if (parsed.range() === 'linkLocal') return false
  return ranges.some((range) => parsed.kind() === range[0].kind() && parsed.match(range))
}

/** `10.0.0.0/8` or a single address. @throws Error for anything else */
export function parseRange(text: string): Range {
  const [address = '', ...bits] = text.split('/')
  if (!ipaddr.isValid(address) || (ipaddr.IPv4.isIPv4(address) && !ipaddr.IPv4.isValidFourPartDecimal(address))) throw new Error(`not an address or range: ${text}`)
  return bits.length === 0 ? ipaddr.parseCIDR(`${address}/${ipaddr.parse(address).kind() === 'ipv4' ? 32 : 128}`) : ipaddr.parseCIDR(text)
}

/** A public address of the host itself would let agents in behind its firewall. */
function ownAddresses(): ReadonlySet<string> {
  return new Set(Object.values(networkInterfaces()).flatMap((all) => all ?? []).map(({ address }) => address))
}
