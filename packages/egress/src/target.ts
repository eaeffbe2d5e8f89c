/** Where a request wants to go, in one spelling: lower case, ASCII, without a trailing dot, IPv6 without brackets. */
export interface Target { host: string; port: number }

/** The authority of CONNECT: host and port, both given. undefined for anything else. */
export function parseAuthority(authority: string): Target | undefined {
  const [, host, port] = /^([^\s/?#@\\]{1,255}):(\d{1,5})$/.exec(authority) ?? []
  if (host === undefined || port === undefined) return undefined
  return targetOf(`http://${host}/`, Number(port))
}

/** The target of a request in absolute form, which is plain HTTP: everything else goes through CONNECT. */
export function parseAbsolute(text: string): (Target & { path: string }) | undefined {
  if (!/^http:\/\//i.test(text) || !URL.canParse(text)) return undefined
  const url = new URL(text)
  if (url.username !== '' || url.password !== '') return undefined
  const target = targetOf(text, Number(url.port || 80))
  return target === undefined ? undefined : { ...target, path: `${url.pathname}${url.search}` }
}

/** The URL parser turns `0x7f.1`, `2130706433` and full-width digits into what they are. */
export function targetOf(text: string, port: number): Target | undefined {
  if (!URL.canParse(text) || port < 1 || port > 65_535) return undefined
  const { hostname } = new URL(text)
  const host = hostname.replace(/^\[(.*)\]$/, '$1').replace(/\.$/, '')
  return host === '' ? undefined : { host, port }
}

/** As it is shown in logs and answers. */
export function spell({ host, port }: Target): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`
}
