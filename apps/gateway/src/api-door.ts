import { LongshoreError } from '@longshore/contracts'

import type { Answer, CallOperation } from './call-operation.ts'
import type { Call, Download, Live, Operation } from './operations/operation.ts'
import { replying, type ReplyHeaders } from './replying.ts'
import { parseJson } from './request-body.ts'

/** A route that fits a request: its operation and what the path says. */
interface Match { operation: Operation; path: Record<string, string> }

export interface ApiDoor {
  /** @throws LongshoreError unknown_operation */
  match(method: string, path: string): Match
  serve(match: Match, query: URLSearchParams, body: string, call: Call, headers: ReplyHeaders): Promise<{ status: number; body: object } | Download | Live>
}

/** The operations as HTTP routes. */
export function createApiDoor(operations: readonly Operation[], callOperation: CallOperation): ApiDoor {
  const routes = operations.map((operation) => ({ operation, pattern: patternOf(operation.route.path) }))
  return {
    match(method, path) {
      const fitting = routes.filter(({ pattern }) => pattern.test(path))
      const route = fitting.find(({ operation }) => operation.route.method === method)
      if (route !== undefined) return { operation: route.operation, path: { ...decoded(route.pattern.exec(path)?.groups ?? {}) } }
      const methods = fitting.map(({ operation }) => operation.route.method)
      throw new LongshoreError('unknown_operation', `no route for ${method} ${path.slice(0, 200)}`, {
        next: methods.length > 0 ? `This path answers to ${methods.join(', ')}.` : `Routes: ${operations.map(({ route: { method: m, path: p } }) => `${m} ${p}`).join(', ')}.`,
      })
    },
    async serve({ operation, path }, query, body, call, headers) {
      const input = operation.route.method === 'GET' ? { ...fromQuery(operation, query), ...path } : { ...fromBody(body), ...path }
      let reply: Download | Live | undefined
      const answer = await callOperation(replying(operation, headers, (made) => { reply = made }), input, call)
      return answer.ok && reply !== undefined ? reply : render(answer, operation.route.status ?? 200)
    },
  }
}

function render(answer: Answer, status: number): { status: number; body: object } {
  return answer.ok ? { status, body: answer.value } : { status: answer.status, body: answer.body }
}

function patternOf(path: string): RegExp {
  return new RegExp(`^${path.replace(/\{(\w+)\}/g, '(?<$1>[^/]+)')}$`)
}

function decoded(groups: Record<string, string>): Record<string, string> {
  try {
    return Object.fromEntries(Object.entries(groups).map(([name, value]) => [name, decodeURIComponent(value)]))
  } catch {
    throw new LongshoreError('invalid_input', 'the path is not a well-formed URL')
  }
}

/** A query has only text: what its field does not take as text is read as JSON (a number, true, false). */
function fromQuery(operation: Operation, query: URLSearchParams): Record<string, unknown> {
  return Object.fromEntries([...query].map(([name, text]) => {
    // Of its own only: a parameter may be called `constructor`.
    const field = Object.hasOwn(operation.input.shape, name) ? operation.input.shape[name] : undefined
    if (field === undefined || field.safeParse(text).success) return [name, text]
    try {
      return [name, JSON.parse(text) as unknown]
    } catch {
      return [name, text]
    }
  }))
}

function fromBody(body: string): Record<string, unknown> {
  const value = body === '' ? {} : parseJson(body)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new LongshoreError('invalid_input', 'the request body is not a JSON object')
  return { ...value }
}
