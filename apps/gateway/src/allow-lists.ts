/** Which names a request may come for, and which web origins it may come from: against DNS rebinding and foreign pages (L-05). */
export interface AllowLists {
  /** Whether the Host header names this gateway, whatever the port. */
  isHostAllowed(host: string | undefined): boolean
  /** Programs that are no browsers send no Origin; a page's must be allowed. */
  isOriginAllowed(origin: string | undefined): boolean
}

// As URL.hostname spells them.
const LOCAL_NAMES = ['localhost', '127.0.0.1', '[::1]']

/**
 * @param hosts names without port, IPv6 addresses in brackets, besides localhost
 * @param origins such as https://console.example, besides http and https on localhost at any port
 */
export function createAllowLists(hosts: readonly string[], origins: readonly string[]): AllowLists {
  const names = new Set([...LOCAL_NAMES, ...hosts.map((host) => hostnameOf(host) ?? host)])
  const allowed = new Set(origins.map((origin) => parse(origin)?.origin ?? origin))
  return {
    isHostAllowed: (host) => host !== undefined && names.has(hostnameOf(host) ?? ''),
    isOriginAllowed(origin) {
      if (origin === undefined) return true
      const url = parse(origin)
      if (url === undefined || url.origin === 'null') return false
      return allowed.has(url.origin) || (/^https?:$/.test(url.protocol) && LOCAL_NAMES.includes(url.hostname))
    },
  }
}

/** Parsed, never compared as text: `localhost.evil.example` begins with an allowed name, and `evil@localhost` ends with one. */
function parse(text: string): URL | undefined {
  return URL.canParse(text) ? new URL(text) : undefined
}

/** Of a Host header: a name or address, an IPv6 one in brackets, with or without a port. */
function hostnameOf(host: string): string | undefined {
  return /[/@?#\\]/.test(host) ? undefined : parse(`http://${host}`)?.hostname
}
