import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'

import { type Log, LongshoreError } from '@longshore/contracts'
import type { Readiness } from '@longshore/runtime'
import type { Registry } from 'prom-client'
import type { AllowLists } from './allow-lists.ts'
import type { ApiDoor } from './api-door.ts'
import { describeError, toDoorError } from './door-error.ts'
import type { CheckKey } from './key-check.ts'
import type { McpDoor } from './mcp-door.ts'
import type { Call } from './operations/operation.ts'
import type { Line } from './watching/mcp-listen.ts'
import { type LiveDeps, serveLive } from './watching/serve-live.ts'
import { sendDownload, sendError, sendJson } from './http-answer.ts'
import { readBody } from './request-body.ts'
import { untilDrained } from './watching/until-drained.ts'
import { sendWebResponse, toWebRequest } from './web-request.ts'

export interface HttpFrontOptions {
  allow: AllowLists
  checkKey: CheckKey
  mcp: McpDoor
  api: ApiDoor
  registry: Registry
  health: () => Promise<object>
  ready: () => Promise<Readiness>
  live: LiveDeps
  log: Log
}

export interface HttpFront {
  server: Server
  /** Calls that wait on purpose answer now, with what they have; streams end with a word that says where to go on. */
  endWaits(): void
}

/** What is in front of both doors: allow-lists, then the key, then the body, then the operation. */
export function createHttpFront(options: HttpFrontOptions): HttpFront {
  const waits = new Set<AbortController>()
  const server = createServer((request, response) => {
    const gone = new AbortController()
    waits.add(gone)
    response.once('close', () => {
      waits.delete(gone)
      // After a whole answer nobody listens, and an abort is not free.
      if (!response.writableFinished) gone.abort()
    })
    serve({ request, response, signal: gone.signal }, options).catch((thrown: unknown) => {
      const error = toDoorError(thrown)
      if (error.code === 'internal') options.log.error({ err: describeError(thrown) }, 'a request failed by a defect of ours')
      sendError(response, error)
    })
  })
  return {
    server,
    endWaits: () => {
      options.live.hub.stop()
      waits.forEach((wait) => wait.abort())
    },
  }
}

/** One HTTP exchange; the signal aborts when the client went away or the gateway stops. */
interface Exchange { request: IncomingMessage; response: ServerResponse; signal: AbortSignal }

async function serve(exchange: Exchange, options: HttpFrontOptions): Promise<void> {
  const { request, response } = exchange
  const url = new URL(`http://localhost${request.url ?? '/'}`)
  admitOrigin(exchange, options.allow)
  if (request.method === 'OPTIONS') return void response.writeHead(204).end()
  // Probes name the address, not the host; both answers say nothing of tasks.
  if (url.pathname === '/health') return sendJson(response, 200, await options.health())
  if (url.pathname === '/ready') {
    const readiness = await options.ready()
    return sendJson(response, readiness.ready ? 200 : 503, readiness)
  }
  if (!options.allow.isHostAllowed(request.headers.host)) {
    throw new LongshoreError('origin_forbidden', 'the Host header does not name this gateway', { next: 'The operator can add the name to MCP_ALLOWED_HOSTS.' })
  }
  if (url.pathname === '/metrics') return void response.writeHead(200, { 'content-type': options.registry.contentType }).end(await options.registry.metrics())
  if (url.pathname === '/mcp') return serveMcp(exchange, options)
  if (url.pathname.startsWith('/api/')) return serveApi(exchange, url, options)
  throw new LongshoreError('unknown_operation', 'nothing is here', { next: 'MCP is at /mcp, the HTTP API under /api/; /health, /ready and /metrics tell how the gateway stands.' })
}

/** Pages of allowed origins may call and read the answer (CORS); others are refused before anything is looked at. */
function admitOrigin({ request, response }: Exchange, allow: AllowLists): void {
  const { origin } = request.headers
  if (!allow.isOriginAllowed(origin)) throw new LongshoreError('origin_forbidden', 'pages of this Origin may not call', { next: 'The operator can add it to MCP_ALLOWED_ORIGINS.' })
  if (origin === undefined) return
  response.setHeader('access-control-allow-origin', origin)
  response.setHeader('vary', 'origin')
  response.setHeader('access-control-allow-methods', 'GET, POST, PUT, DELETE')
  response.setHeader('access-control-allow-headers', 'authorization, content-type, accept, x-agent-id, mcp-protocol-version, mcp-session-id, mcp-method, mcp-name, last-event-id')
  response.setHeader('access-control-expose-headers', 'www-authenticate, mcp-session-id')
}

async function serveMcp(exchange: Exchange, options: HttpFrontOptions): Promise<void> {
  const call = await identify(exchange, options)
  const body = exchange.request.method === 'POST' ? jsonOrNothing(await readBody(exchange.request)) : undefined
  await sendWebResponse(await options.mcp.serve(toWebRequest(exchange.request), body, call, lineOf(exchange, options)), exchange.response, options.live.stallMs)
}

function lineOf({ request, response }: Exchange, { checkKey, live }: HttpFrontOptions): Line {
  return {
    recheck: () => checkKey(request.headers.authorization), end: () => void response.end(),
    room: async () => response.writableNeedDrain && !response.destroyed && untilDrained(response, live.stallMs),
  }
}

/** What is not JSON is refused by the protocol, in its own words. */
function jsonOrNothing(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

async function serveApi(exchange: Exchange, url: URL, options: HttpFrontOptions): Promise<void> {
  const call = await identify(exchange, options)
  const match = options.api.match(exchange.request.method ?? 'GET', url.pathname)
  const { range, 'last-event-id': lastEventId } = exchange.request.headers
  const answer = await options.api.serve(match, url.searchParams, await readBody(exchange.request), call, { range, lastEventId: typeof lastEventId === 'string' && lastEventId !== '' ? lastEventId : undefined })
  if ('kind' in answer) serveLive(exchange.response, answer, call, () => options.checkKey(exchange.request.headers.authorization), options.live)
  else if ('headers' in answer) await sendDownload(exchange.response, answer, options.log)
  else sendJson(exchange.response, answer.status, answer.body)
}

async function identify({ request, signal }: Exchange, { checkKey }: HttpFrontOptions): Promise<Call> {
  const header = request.headers['x-agent-id']
  return { caller: await checkKey(request.headers.authorization), agentIdHeader: typeof header === 'string' ? header : undefined, signal }
}
