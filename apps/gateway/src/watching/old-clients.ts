import { randomUUID } from 'node:crypto'

import { type Log, LongshoreError } from '@longshore/contracts'
import type { Doorbell, SubscriptionOwner, Subscriptions } from '@longshore/ledger'
import { z } from 'zod'

import type { Call, Live } from '../operations/operation.ts'
import type { Line } from './mcp-listen.ts'
import { openUpdates } from './old-stream.ts'
import type { LiveDeps } from './serve-live.ts'
import { taskIdOf } from './task-uri.ts'

export interface OldClientsDeps { live: LiveDeps; doorbell: Pick<Doorbell, 'listen'>; subscriptions: Subscriptions; pollMs: number; log: Log }

/** Clients of the revisions before 2026-07-28, which subscribe in one request and are told on the stream of another. */
export interface OldClients {
  serve(request: Request, body: unknown, call: Call, line: Line, open: (taskId: string) => Promise<Live | undefined>, serve: () => Promise<Response>): Promise<Response>
}

const SESSION = 'mcp-session-id'
const Session = z.string().regex(/^[\w-]{1,64}$/)
const Message = z.looseObject({ id: z.union([z.string(), z.number()]), method: z.string(), params: z.looseObject({ uri: z.string().optional() }).optional() })

const INVALID_PARAMS = -32602
const RESOURCE_NOT_FOUND = -32002

/**
 * A session is a name and nothing else: what is subscribed to under it stands in Redis, so any replica may take the request and any other the stream. A name is worth
 * nothing without the key that it was given to.
 */
export function createOldClients(deps: OldClientsDeps): OldClients {
  const { subscriptions } = deps
  const subscribe = async (owner: SubscriptionOwner, uri: string, open: (taskId: string) => Promise<Live | undefined>) => {
    const live = await open(taskIdOf(uri) ?? '')
    if (live === undefined) return { error: { code: RESOURCE_NOT_FOUND, message: `Resource not found: ${uri}`, data: { uri } } }
    if (await subscriptions.add(owner, uri, live.cursor)) return { result: {} }
    return { error: { code: INVALID_PARAMS, message: 'too many subscriptions in one session; unsubscribe from some' } }
  }
  return {
    async serve(request, body, call, line, open, serve) {
      const session = Session.safeParse(request.headers.get(SESSION)).data
      const owner = session === undefined ? undefined : { keyId: call.caller.keyId, session }
      if (owner !== undefined && request.method === 'GET') return (await openUpdates(owner, call, line, deps)) ?? serve()
      if (owner !== undefined && request.method === 'DELETE') {
        await subscriptions.forget(owner)
        return new Response(null, { status: 200 })
      }
      const message = Message.safeParse(body).data
      const uri = message?.params?.uri
      if (message !== undefined && uri !== undefined && (message.method === 'resources/subscribe' || message.method === 'resources/unsubscribe')) {
        if (owner === undefined) return answer(message.id, { error: { code: INVALID_PARAMS, message: `subscriptions need the ${SESSION} that initialize answered with` } })
        if (message.method === 'resources/subscribe') return answer(message.id, await subscribe(owner, uri, open).catch(refusal))
        await subscriptions.remove(owner, uri)
        return answer(message.id, { result: {} })
      }
      const response = await serve()
      return message?.method === 'initialize' && response.ok ? named(response) : response
    },
  }
}

function named(response: Response): Response {
  const headers = new Headers(response.headers)
  headers.set(SESSION, randomUUID())
  return new Response(response.body, { status: response.status, headers })
}

function answer(id: string | number, outcome: object): Response {
  return Response.json({ jsonrpc: '2.0', id, ...outcome })
}

function refusal(error: unknown): object {
  if (!(error instanceof LongshoreError)) throw error
  return { error: { code: -32603, message: `${error.message} (${error.code})` } }
}
