import type { Context, MiddlewareHandler } from 'hono'
import { getCookie } from 'hono/cookie'

import { LongshoreError } from '@longshore/contracts'
import type { ApiKey, ApiKeys } from '@longshore/ledger'
import { isOwnOrigin } from './allowed-host.ts'
import type { Sessions } from './sessions.ts'

export const COOKIE = 'longshore_session'

export interface GateDeps { apiKeys: Pick<ApiKeys, 'verify'>; sessions: Pick<Sessions, 'find'> }

/** Lets operators pass (G11): by session, or by `Authorization: Bearer`. Browsers without either are led to the login page. */
export function gate(deps: GateDeps): MiddlewareHandler {
  return async (c, next) => {
    const apiKey = await holderOf(c, deps)
    if (apiKey === undefined) {
      if (c.req.method === 'GET' && c.req.header('accept')?.includes('text/html') === true) return c.redirect(`/login?next=${encodeURIComponent(c.req.path)}`, 303)
      throw new LongshoreError('unauthorized', 'an operator key is needed', { next: 'log in at /login, or send the key as Authorization: Bearer' })
    }
    if (!apiKey.scopes.includes('operate')) throw notAnOperator()
    return next()
  }
}

export function notAnOperator(): LongshoreError {
  return new LongshoreError('forbidden', 'this key is an agent\'s, and the console is for operators', { next: 'use the operator key, or read your tasks over MCP or /api' })
}

async function holderOf(c: Context, { apiKeys, sessions }: GateDeps): Promise<ApiKey | undefined> {
  const bearer = /^Bearer +(\S+)$/i.exec(c.req.header('authorization') ?? '')?.[1]
  if (bearer !== undefined) return apiKeys.verify(bearer)
  const token = getCookie(c, COOKIE)
  if (token === undefined) return undefined
  if (!['GET', 'HEAD'].includes(c.req.method) && !isOwnOrigin(c.req.header('origin'), c.req.header('host'))) {
    throw new LongshoreError('origin_forbidden', 'this came from a page that is not the console', { next: 'open the console itself' })
  }
  return sessions.find(token)
}

/** Where to go after the login: a path of ours, nothing else. */
export function ownPath(next: string | undefined): string {
  return next !== undefined && /^\/(?![/\\])[\w\-./]*$/.test(next) ? next : '/'
}
