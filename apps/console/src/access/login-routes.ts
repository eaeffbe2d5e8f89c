import { Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { deleteCookie, getCookie, setCookie } from 'hono/cookie'

import { type Log, LongshoreError } from '@longshore/contracts'
import type { ApiKeys } from '@longshore/ledger'
import { loginPage } from '../pages/login-page.ts'
import { isOwnOrigin } from './allowed-host.ts'
import { COOKIE, notAnOperator, ownPath } from './gate.ts'
import { SESSION_SECONDS, type Sessions } from './sessions.ts'

export interface LoginDeps { apiKeys: Pick<ApiKeys, 'verify'>; sessions: Sessions; deployment: string; log: Log }

/** `/login` and `/logout`. */
export function loginRoutes({ apiKeys, sessions, deployment, log }: LoginDeps): Hono {
  const app = new Hono()
  app.get('/login', (c) => c.html(loginPage({ deployment, next: ownPath(c.req.query('next')) })))
  app.post('/login', bodyLimit({ maxSize: 8 * 1024 }), async (c) => {
    if (!isOwnOrigin(c.req.header('origin'), c.req.header('host'))) throw new LongshoreError('origin_forbidden', 'this came from a page that is not the console')
    const form = await c.req.parseBody().catch((cause: unknown) => {
      throw new LongshoreError('invalid_input', 'this is not the login form', { cause })
    })
    const next = ownPath(textOf(form['next']))
    const apiKey = await apiKeys.verify(textOf(form['key'])?.trim() ?? '')
    if (apiKey === undefined || !apiKey.scopes.includes('operate')) {
      const problem = apiKey === undefined ? 'This key is not known here.' : `${capital(notAnOperator().message)}.`
      log.warn({ known: apiKey?.id }, 'a login was refused')
      return c.html(loginPage({ deployment, next, problem }), apiKey === undefined ? 401 : 403)
    }
    const secure = c.req.header('x-forwarded-proto') === 'https'
    setCookie(c, COOKIE, await sessions.begin(apiKey), { httpOnly: true, sameSite: 'Strict', path: '/', maxAge: SESSION_SECONDS, secure })
    log.info({ by: apiKey.id }, 'an operator logged in')
    return c.redirect(next, 303)
  })
  app.post('/logout', async (c) => {
    if (!isOwnOrigin(c.req.header('origin'), c.req.header('host'))) throw new LongshoreError('origin_forbidden', 'this came from a page that is not the console')
    const token = getCookie(c, COOKIE)
    if (token !== undefined) await sessions.end(token)
    deleteCookie(c, COOKIE, { path: '/' })
    return c.redirect('/login', 303)
  })
  return app
}

const textOf = (field: unknown): string | undefined => (typeof field === 'string' ? field : undefined)
const capital = (sentence: string): string => sentence.charAt(0).toUpperCase() + sentence.slice(1)
