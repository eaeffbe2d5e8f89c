import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http'

/** For one connection only (RFC 9110, 7.6.1), and what is said to a proxy. */
const HOP_BY_HOP = ['connection', 'proxy-connection', 'keep-alive', 'te', 'trailer', 'transfer-encoding', 'upgrade', 'proxy-authenticate', 'proxy-authorization', 'proxy-authentication-info', 'expect']

/** What goes on to the other side, whose body is framed anew: what one side reads is what the other wrote. */
export function forwarded(headers: IncomingHttpHeaders): OutgoingHttpHeaders {
  const named = (headers.connection ?? '').split(',').map((name) => name.trim().toLowerCase())
  const dropped = new Set([...HOP_BY_HOP, ...named.filter((name) => name !== 'content-length')])
  return Object.fromEntries(Object.entries(headers).filter(([name, value]) => value !== undefined && !dropped.has(name)))
}

/** Whether a body follows, however long. */
export function hasBody(headers: IncomingHttpHeaders): boolean {
  return headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0'
}

/** Of a request that goes on. Without a length it is chunked, also for GET, whose body Node would write behind it unframed: as a second request. */
export function forwardedRequest(headers: IncomingHttpHeaders): OutgoingHttpHeaders {
  return { ...forwarded(headers), ...(headers['transfer-encoding'] === undefined ? {} : { 'transfer-encoding': 'chunked' }) }
}
