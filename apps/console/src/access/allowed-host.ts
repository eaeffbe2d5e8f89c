// As URL.hostname spells them.
const LOCAL_NAMES = ['localhost', '127.0.0.1', '[::1]']

/**
 * Says whether a Host header names this console, whatever the port: against DNS rebinding.
 * Parsed, never compared as text: `localhost.evil.example` begins with an allowed name.
 * @param names without port, besides localhost
 */
export function allowedHost(names: readonly string[]): (host: string | undefined) => boolean {
  const allowed = new Set([...LOCAL_NAMES, ...names.map((name) => hostnameOf(name) ?? name)])
  return (host) => host !== undefined && allowed.has(hostnameOf(host) ?? '')
}

function hostnameOf(host: string): string | undefined {
  const url = `http://${host}`
  return /[/@?#\\]/.test(host) || !URL.canParse(url) ? undefined : new URL(url).hostname
}

/**
 * Whether a page of our own sent this: SameSite cookies ignore ports, so another program on localhost would count as same-site.
 * Programs that are no browsers send no Origin.
 */
export function isOwnOrigin(origin: string | undefined, host: string | undefined): boolean {
  return origin === undefined || (URL.canParse(origin) && new URL(origin).host === host)
}
