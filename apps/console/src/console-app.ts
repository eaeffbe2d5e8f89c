import { serveStatic } from '@hono/node-server/serve-static'
import { relative } from 'node:path'
import { type Context, Hono } from 'hono'
import { HTTPException } from 'hono/http-exception'
import { secureHeaders } from 'hono/secure-headers'
import { timeout } from 'hono/timeout'

import { type Clock, type Log, LongshoreError, TaskId } from '@longshore/contracts'
import { type ApiKeys, type Doorbell, type Ledger, readFrom } from '@longshore/ledger'
import type { Heartbeat } from '@longshore/queue'
import type { Readiness } from '@longshore/runtime'
import { allowedHost } from './access/allowed-host.ts'
import { gate } from './access/gate.ts'
import { loginRoutes } from './access/login-routes.ts'
import type { Sessions } from './access/sessions.ts'
import { QUEUES_PATH } from './bull-board.ts'
import { errorPage } from './pages/error-page.ts'
import { EVENTS_PER_PAGE, taskPage } from './pages/task-page.ts'
import { poisonedPage, TASKS_PER_PAGE, tasksPage } from './pages/tasks-page.ts'
import { workersPage } from './pages/workers-page.ts'

export interface ConsoleDeps {
  ledger: Pick<Ledger, 'get' | 'list' | 'counts' | 'read' | 'poisoned'>
  doorbell: Pick<Doorbell, 'listen'>
  workers: () => Promise<Heartbeat[]>
  apiKeys: Pick<ApiKeys, 'verify'>
  sessions: Sessions
  queueBoard: Hono
  /** Names that may stand in a Host header, besides localhost. */
  hosts: readonly string[]
  deployment: string
  ready: () => Promise<Readiness>
  log: Log
  now: Clock
}

/** A Redis that hangs must not hold pages for ever (ms). */
const PATIENCE_MS = 5_000
/** A page asks again after that: within the patience, and often enough for a ring that was lost (G5). */
const NEWS_MS = 3_000

/** Our own pages run no script but our static one. Bull Board's styles its elements in place. */
const policyOf = (path: string) => ({
  contentSecurityPolicy: {
    defaultSrc: ["'none'"], scriptSrc: ["'self'"], connectSrc: ["'self'"], imgSrc: ["'self'", 'data:'], fontSrc: ["'self'"], formAction: ["'self'"], baseUri: ["'self'"], frameAncestors: ["'none'"],
    styleSrc: path.startsWith(QUEUES_PATH) ? ["'self'", "'unsafe-inline'"] : ["'self'"],
  },
  // Not no-referrer: under it a browser sends `Origin: null` with our own forms.
  referrerPolicy: 'same-origin',
  // Whether TLS stands in front is the proxy's knowledge.
  strictTransportSecurity: false,
  xFrameOptions: 'DENY',
})

/** The console: pages for operators, Bull Board under `/queues`; everything but health and login needs an operator's key. */
export function createConsoleApp(deps: ConsoleDeps): Hono {
  const app = new Hono()
  const isAllowed = allowedHost(deps.hosts)
  app.use(async (c, next) => secureHeaders(policyOf(c.req.path))(c, next))
  app.use(timeout(PATIENCE_MS))
  app.use(async (c, next) => {
    if (!isAllowed(c.req.header('host'))) throw new LongshoreError('origin_forbidden', 'this host name is not the console\'s', { next: 'add it to MCP_ALLOWED_HOSTS' })
    await next()
  })
  app.get('/health', (c) => c.json({ status: 'ok', app: 'console', deployment: deps.deployment }))
  app.get('/ready', async (c) => {
    const readiness = await deps.ready()
    return c.json(readiness, readiness.ready ? 200 : 503)
  })
  app.get('/static/*', serveStatic({ root: relative(process.cwd(), import.meta.dirname) }))
  app.route('/', loginRoutes(deps))
  app.use(gate(deps))
  pages(app, deps)
  app.route(QUEUES_PATH, deps.queueBoard)
  app.notFound((c) => refuse(c, new LongshoreError('unknown_operation', 'there is nothing at this address'), deps.deployment))
  app.onError((error, c) => refuse(c, asLongshoreError(error, deps.log), deps.deployment))
  return app
}

function pages(app: Hono, { ledger, doorbell, workers, deployment, now }: ConsoleDeps): void {
  app.get('/', async (c) => {
    const page = pageOf(c)
    const [tasks, counts, [poisoned]] = await Promise.all([ledger.list({ limit: TASKS_PER_PAGE, offset: (page - 1) * TASKS_PER_PAGE }), ledger.counts(), ledger.poisoned(1)])
    return c.html(tasksPage({ deployment, tasks, counts, page, now: now(), hasPoisoned: poisoned !== undefined }))
  })
  app.get('/poisoned', async (c) => {
    const page = pageOf(c)
    return c.html(poisonedPage({ deployment, tasks: await ledger.poisoned(TASKS_PER_PAGE, (page - 1) * TASKS_PER_PAGE), page, now: now() }))
  })
  app.get('/workers', async (c) => c.html(workersPage({ deployment, workers: await workers(), now: now() })))
  app.get('/tasks/:id/news', async (c) => {
    const id = TaskId.safeParse(c.req.param('id'))
    if (id.success) await untilNews({ ledger, doorbell }, id.data, numberOf(c.req.query('seq'), 0), c.req.raw.signal)
    return c.body(null, 204)
  })
  app.get('/tasks/:id', async (c) => {
    const id = TaskId.safeParse(c.req.param('id'))
    const task = id.success ? await ledger.get(id.data) : undefined
    if (task === undefined) throw new LongshoreError('task_not_found', 'there is no such task')
    const after = numberOf(c.req.query('after'), Math.max(task.seq - EVENTS_PER_PAGE, 0))
    return c.html(taskPage({ deployment, task, events: await readFrom(ledger, task.id, after, EVENTS_PER_PAGE), now: now() }))
  })
}

/** Waits until a task's log is longer than `seq`, for a while. */
async function untilNews({ ledger, doorbell }: Pick<ConsoleDeps, 'ledger' | 'doorbell'>, id: TaskId, seq: number, signal: AbortSignal): Promise<void> {
  const bell = await doorbell.listen(id)
  try {
    const task = await ledger.get(id)
    if (task?.seq === seq) await bell.next(NEWS_MS, signal)
  } finally {
    bell.close().catch(() => undefined)
  }
}

const pageOf = (c: Context) => Math.min(Math.max(numberOf(c.req.query('page'), 1), 1), 10_000)

function numberOf(text: string | undefined, fallback: number): number {
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : fallback
}

function asLongshoreError(error: unknown, log: Log): LongshoreError {
  if (error instanceof LongshoreError) return error
  if (error instanceof HTTPException) return asRefusal(error)
  const reason = error instanceof Error ? error.message : String(error)
  if (/connection|ECONN|max retries|stream isn't writeable|timeout/i.test(reason)) return new LongshoreError('unavailable', 'Redis does not answer', { next: 'try again in a moment' })
  log.error({ err: error }, 'a page failed')
  return new LongshoreError('internal', 'this page failed; the console\'s log says why')
}

/** What Hono refuses by itself: a body that is too large, or an answer that takes too long. */
function asRefusal({ status }: HTTPException): LongshoreError {
  if (status === 413) return new LongshoreError('payload_too_large', 'the request is larger than a key can be')
  if (status === 504) return new LongshoreError('unavailable', `no answer from Redis within ${PATIENCE_MS / 1_000} s`, { next: 'try again in a moment' })
  return new LongshoreError('invalid_input', 'the request cannot be read')
}

function refuse(c: Context, error: LongshoreError, deployment: string): Response | Promise<Response> {
  const status = error.status as 400 | 401 | 403 | 404 | 413 | 500 | 503
  if (error.code === 'unauthorized') c.header('www-authenticate', 'Bearer')
  return c.req.header('accept')?.includes('text/html') === true ? c.html(errorPage(error, deployment), status) : c.json(error.toBody(), status)
}
