import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { Server as NetServer, type Socket } from 'node:net'
import { forwardPlain } from './forward-plain.ts'
import type { Pass } from './grants.ts'
import { callModel } from './model-call.ts'
import { createOpenConnections, type OpenConnections } from './open-connections.ts'
import { Refused, statusOf } from './refused.ts'
import { bySystem } from './resolve.ts'
import { parseAbsolute, parseAuthority } from './target.ts'
import { proxyToken } from './token.ts'
import { openTunnel } from './tunnel.ts'
import type { ProxyOptions, Way } from './way.ts'

/** Every second what belongs to revoked tokens is cut. */
const SWEEP_MS = 1_000
const MAX_CONNECTIONS = 8_192
/** Longer than clients keep idle connections: they, not we, are to end them. */
const KEEP_ALIVE_MS = 75_000

export interface Proxy {
  server: Server
  open: OpenConnections
  /** Takes no new connections. Those that it has are served, also the ones that have not asked for anything yet. */
  leave(): void
  close(): void
}

/**
 * The one way out of a place: model calls at `/model/<provider>/…`, for which it has the keys; everything else as an HTTP proxy
 * (absolute form and CONNECT) for what the token's network lets through. It reads no tunnel's contents.
 */
export function createProxy(options: ProxyOptions): Proxy {
  const way: Way = { resolve: bySystem, ...options, open: createOpenConnections() }
  const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS, headersTimeout: 30_000 }, (req, res) => {
    if (!server.listening) res.shouldKeepAlive = false
    answer(way, req, res).catch((error: unknown) => refuse(req, res, error))
  })
  server.maxConnections = MAX_CONNECTIONS
  server.on('connect', (req: IncomingMessage, socket: Socket, head: Buffer) => {
    socket.on('error', () => socket.destroy())
    connect(way, req, socket, head).catch((error: unknown) => refuseTunnel(socket, error))
  })
  const sweeping = keepSweeping(way)
  return {
    server, open: way.open,
    // Not the close of HTTP's own server, which cuts connections whose first request is still on its way.
    leave: () => void NetServer.prototype.close.call(server),
    close: () => {
      sweeping.stop()
      way.open.cutAll()
      server.close()
      server.closeAllConnections()
    },
  }
}

/** One at a time: a Redis that is slow is not asked ever more. */
function keepSweeping({ open, passes }: Way): { stop(): void } {
  let timer = setTimeout(round, SWEEP_MS)
  let isStopped = false
  function round(): void {
    void open.sweep(passes.isGood).finally(() => {
      if (!isStopped) timer = setTimeout(round, SWEEP_MS)
    })
  }
  return {
    stop: () => {
      isStopped = true
      clearTimeout(timer)
    },
  }
}

async function answer(way: Way, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const path = ownPath(req)
  if (path !== undefined) return callModel(way, req, res, path)
  const target = parseAbsolute(req.url ?? '')
  if (target === undefined) throw new Refused('malformed', '', 'not a request for a proxy: give an absolute http:// URL, or CONNECT host:port')
  return forwardPlain(way, req, res, await passOf(way, req), target)
}

/** A client that sends everything through its proxy sends it, too, what is meant for the proxy itself. */
function ownPath({ url = '', socket }: IncomingMessage): string | undefined {
  if (url.startsWith('/')) return url
  const target = parseAbsolute(url)
  return target?.host === socket.localAddress && target?.port === socket.localPort ? target?.path : undefined
}

async function connect(way: Way, req: IncomingMessage, socket: Socket, head: Buffer): Promise<void> {
  const target = parseAuthority(req.url ?? '')
  if (target === undefined) throw new Refused('malformed', '', 'CONNECT wants host:port')
  await openTunnel(way, socket, head, await passOf(way, req), target)
}

async function passOf({ passes }: Way, req: IncomingMessage): Promise<Pass> {
  const pass = await passes.check(proxyToken(req.headers) ?? '')
  if (pass === undefined) throw new Refused('token', '', 'no valid token: it stands in HTTP_PROXY and HTTPS_PROXY, and is worth something while its task runs')
  return pass
}

function refuse(req: IncomingMessage, res: ServerResponse, error: unknown): void {
  if (res.headersSent || res.destroyed) return void res.destroy()
  const refused = error instanceof Refused ? error : new Refused('unreachable', '', 'the other side did not answer')
  const isModel = ownPath(req) !== undefined
  const body = JSON.stringify({ error: { message: `longshore egress: ${refused.message}`, type: 'longshore_egress', code: refused.reason } })
  const status = statusOf(refused, isModel)
  res.writeHead(status, { 'content-type': 'application/json', connection: 'close', ...(status === 407 ? ASK_FOR_TOKEN : {}) })
  res.end(`${body}\n`)
  req.resume()
}

const ASK_FOR_TOKEN = { 'proxy-authenticate': 'Basic realm="longshore"' }

/** Tools show the status line of a refused CONNECT and nothing else. */
function refuseTunnel(socket: Socket, error: unknown): void {
  const refused = error instanceof Refused ? error : new Refused('unreachable', '', 'the other side did not answer')
  const status = statusOf(refused, false)
  const body = `longshore egress: ${refused.message}\n`
  const more = status === 407 ? `Proxy-Authenticate: ${ASK_FOR_TOKEN['proxy-authenticate']}\r\n` : ''
  socket.end(`HTTP/1.1 ${status} Refused by longshore egress (${refused.reason})\r\n${more}Content-Type: text/plain; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`)
}
