import { createHash, timingSafeEqual } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Log } from '@longshore/contracts'
import { clientOf } from './clients.ts'
import { SCRIPTED_MODEL } from './opencode-config.ts'
import { replyTo, type Reply } from './reply.ts'
import { progressOf } from './script.ts'
import { json, send } from './send.ts'
import { ChatRequest, messagesOf } from './wire.ts'

export interface ScriptedProviderOptions {
  /** Where to listen; default 127.0.0.1. Anything wider needs `token`. */
  host?: string
  /** 0 (the default) takes a free one. */
  port?: number
  /** When given, every request must carry it as a bearer token. */
  token?: string
  log: Log
}

export interface ScriptedProvider {
  /** The base URL for an OpenAI client, ending in `/v1`. */
  url: string
  port: number
  /** How many completions were asked for (titles included). */
  requests(): number
  /** Resolves when the next completion is asked for whose conversation holds this text. */
  nextRequest(about: string): Promise<void>
  /** Ends all streams, hanging ones too. */
  stop(): Promise<void>
}

/** 32 MiB: a prompt of 256 KiB in a long conversation fits many times. */
const MAX_BODY_BYTES = 32 * 1024 * 1024
/** What the status directives remember; the oldest go first. */
const MAX_FAILED = 10_000

interface State { options: ScriptedProviderOptions; failed: Set<string>; requests: number; awaited: Set<{ about: string; resolve: () => void }> }

/**
 * Starts an OpenAI-compatible model that follows the directives in the conversation; it is no model and says so.
 * Directives: see `script.ts`. Rejects when the address is taken or wider than loopback without a token.
 */
export async function startScriptedProvider(options: ScriptedProviderOptions): Promise<ScriptedProvider> {
  const host = options.host ?? '127.0.0.1'
  if (options.token === undefined && host !== '127.0.0.1' && host !== '::1' && host !== 'localhost') {
    throw new Error(`the scripted provider listens on ${host} only with a token; give one, or use 127.0.0.1`)
  }
  const state: State = { options, failed: new Set(), requests: 0, awaited: new Set() }
  const server = createServer((request, response) => {
    answer(state, request, response).catch((error: unknown) => {
      options.log.warn({ err: error }, 'scripted provider: request failed')
      response.destroy()
    })
  })
  server.listen(options.port ?? 0, host)
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `http://${host}:${port}/v1`, port, requests: () => state.requests, stop: () => stop(server),
    nextRequest: (about) => new Promise((resolve) => state.awaited.add({ about, resolve })),
  }
}

async function stop(server: Server): Promise<void> {
  const closed = once(server, 'close')
  server.close()
  server.closeAllConnections()
  await closed
}

async function answer(state: State, request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (!isAllowed(request, state.options.token)) return json(response, 401, { error: { message: 'the scripted provider wants its bearer token' } })
  if (request.method === 'GET' && request.url === '/v1/models') {
    return json(response, 200, { object: 'list', data: [{ id: SCRIPTED_MODEL, object: 'model', owned_by: 'longshore' }] })
  }
  if (request.method !== 'POST' || request.url !== '/v1/chat/completions') {
    return json(response, 404, { error: { message: `the scripted provider has no ${request.method} ${request.url}` } })
  }
  const body = await bodyOf(request)
  const parsed = body === undefined ? undefined : ChatRequest.safeParse(body)
  if (parsed?.success !== true) return json(response, 400, { error: { message: 'not a chat completion request' } })
  state.requests += 1
  for (const one of state.awaited) {
    if (!messagesOf(parsed.data).some(({ text }) => text.includes(one.about))) continue
    state.awaited.delete(one)
    one.resolve()
  }
  const replies = decide(state, parsed.data)
  state.options.log.debug({ replies: replies.map(({ kind }) => kind) }, 'scripted provider: answers')
  await send(response, replies, parsed.data)
}

function decide(state: State, request: ChatRequest): Reply[] {
  const tools = new Set((request.tools ?? []).map((tool) => tool.function.name))
  const client = clientOf(tools)
  const hash = createHash('sha256').update(JSON.stringify(request.messages)).digest('base64')
  return replyTo(
    progressOf(messagesOf(request), client),
    tools.size === 0 ? undefined : client,
    (position) => {
      const key = `${position}:${hash}`
      if (state.failed.has(key)) return true
      if (state.failed.size >= MAX_FAILED) for (const oldest of state.failed.keys()) { state.failed.delete(oldest); break }
      state.failed.add(key)
      return false
    },
  )
}

function isAllowed(request: IncomingMessage, token: string | undefined): boolean {
  if (token === undefined) return true
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(request.headers.authorization ?? ''), digest(`Bearer ${token}`))
}

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  const parts: Buffer[] = []
  let size = 0
  for await (const part of request as AsyncIterable<Buffer>) {
    size += part.length
    if (size > MAX_BODY_BYTES) return undefined
    parts.push(part)
  }
  try {
    return JSON.parse(Buffer.concat(parts).toString('utf8'))
  } catch {
    return undefined
  }
}
