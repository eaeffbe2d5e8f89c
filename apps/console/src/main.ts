import { serve } from '@hono/node-server'
import { once } from 'node:events'

import { createApiKeys, createDoorbell, createLedger, keysOf } from '@longshore/ledger'
import { createHeartbeats } from '@longshore/queue'
import { checkRedis, connectRedis, createLogger, loadSettings, type Settings, SettingsError, stopOnSignal } from '@longshore/runtime'
import { createSessions } from './access/sessions.ts'
import { createQueueBoard } from './bull-board.ts'
import { createConsoleApp } from './console-app.ts'

const settings = settingsOrExit()
const log = createLogger({ app: 'console', level: settings.LOG_LEVEL, format: settings.LOG_FORMAT })
const deployment = settings.LONGSHORE_DEPLOYMENT
const redis = connectRedis(settings.REDIS_URL, 'caller', log)
const doorbell = createDoorbell(connectRedis(settings.REDIS_URL, 'background', log), deployment)
const apiKeys = createApiKeys(redis, deployment)
const queueBoard = createQueueBoard({ redis, deployment, isWritable: settings.QUEUES_WRITABLE, log })

const app = createConsoleApp({
  ledger: createLedger({ redis, deployment, log }),
  doorbell,
  workers: createHeartbeats(redis, deployment).list,
  apiKeys,
  sessions: createSessions(redis, deployment, apiKeys),
  queueBoard: queueBoard.routes,
  hosts: [settings.CONSOLE_HOST, ...settings.MCP_ALLOWED_HOSTS],
  deployment,
  ready: () => checkRedis(redis, `${keysOf(deployment).prefix}probe:console`),
  log,
  now: Date.now,
})

const server = serve({ fetch: app.fetch, hostname: settings.CONSOLE_HOST, port: settings.CONSOLE_PORT })
try {
  await once(server, 'listening')
} catch (error) {
  log.error({ reason: String(error) }, `CONSOLE_PORT: cannot listen on ${settings.CONSOLE_HOST}:${settings.CONSOLE_PORT}; give another port, or 0 for a free one`)
  process.exit(1)
}
const address = server.address()
log.info({ port: typeof address === 'object' ? address?.port : undefined, deployment }, 'console is up')

stopOnSignal(process, [
  {
    name: 'http',
    stop: () => new Promise((resolve) => {
      server.close(() => resolve())
      if ('closeAllConnections' in server) server.closeAllConnections()
    }),
  },
  { name: 'queues', stop: () => queueBoard.close() },
  { name: 'redis', stop: async () => (doorbell.close(), redis.disconnect()) },
], log)

/** Everything of the environment, with a Redis; else one clear line for each fault, and the end. */
function settingsOrExit(): Settings & { REDIS_URL: string } {
  try {
    const parsed = loadSettings(process.env)
    if (parsed.REDIS_URL === undefined) throw new SettingsError('REDIS_URL: not set; `npm start` sets it, or give the URL of a Redis')
    return { ...parsed, REDIS_URL: parsed.REDIS_URL }
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error
    process.stderr.write(`${error.message}\n`)
    process.exit(1)
  }
}
