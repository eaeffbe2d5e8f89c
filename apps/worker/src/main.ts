import { hostname } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'

import { openStorage } from '@longshore/backends'
import { createDoorbell, createLedger, keysOf } from '@longshore/ledger'
import { createFilesSecret, createTicketProducer } from '@longshore/queue'
import { budgetFrom, checkRedis, connectRedis, createLogger, createMetrics, loadSettings, releaseIdleMemory, serveHealth, type Settings, stopOnSignal, untilReady } from '@longshore/runtime'
import packageJson from '../package.json' with { type: 'json' }
import { buildBackends } from './build-backends.ts'
import { buildEgress } from './build-egress.ts'
import { createWorker } from './create-worker.ts'
import { openFilesDoor } from './files-door.ts'
import { markFileOf } from './ledger-mark.ts'

const REDIS_WAIT_MS = 30_000
const STOP_MS = 5_000

async function main(settings: Settings, redisUrl: string): Promise<void> {
  const deployment = settings.LONGSHORE_DEPLOYMENT
  const name = settings.WORKER_NAME ?? `${hostname().replaceAll(/[^A-Za-z0-9._-]/g, '-').slice(0, 60)}-${process.pid}`
  const log = createLogger({ app: 'worker', level: settings.LOG_LEVEL, format: settings.LOG_FORMAT }).child({ worker: name })
  const storage = await openStorage(settings.WORKSPACE_DIR ?? join(settings.LONGSHORE_HOME, 'workspaces'))
  // Background connections wait for Redis to come back; readiness must answer while it is away.
  const [redis, bells, probe] = [connectRedis(redisUrl, 'background', log), connectRedis(redisUrl, 'background', log), connectRedis(redisUrl, 'caller', log)]
  await untilReady(redis, REDIS_WAIT_MS)
  const registry = createMetrics('worker')
  const egress = buildEgress({ settings, env: process.env, redis: probe, redisUrl, deployment, version: packageJson.version, since: Date.now(), registry, log })
  const backends = await buildBackends({ settings, env: process.env, uid: process.getuid?.(), gid: process.getgid?.(), storage, egress, log })
  const producer = createTicketProducer({ redisUrl, deployment, log })
  const files = await openFilesDoor({
    host: settings.WORKER_FILES_HOST, port: settings.WORKER_FILES_PORT, url: settings.WORKER_FILES_URL, hostname: hostname(), storage, secret: createFilesSecret(probe, deployment), log,
  })
  const worker = await createWorker({
    redis, ledger: createLedger({ redis, deployment, log }), doorbell: createDoorbell(bells, deployment), producer, backends,
    deployment, name, host: hostname(), version: packageJson.version, storageId: storage.id, filesUrl: files.url, log, registry,
    ...(settings.SWEEP === 'off' ? {} : { sweep: { everyMs: settings.SWEEP_EVERY_MS, isDryRun: settings.SWEEP === 'dry-run', markFile: join(storage.root, markFileOf(deployment)) } }),
    settings: {
      concurrency: settings.WORKER_CONCURRENCY ?? settings.MAX_CONCURRENT_TASKS, lockMs: settings.LOCK_DURATION_MS,
      stalledIntervalMs: settings.STALLED_INTERVAL_MS, drainGraceMs: settings.DRAIN_GRACE_MS, retryDelayMs: settings.RETRY_DELAY_MS,
      poisonLimit: settings.POISON_LIMIT, agentsDay: budgetFrom(settings.AGENT_DAILY_TOKENS, settings.AGENT_DAILY_COST_MICROS), breaker: { failures: settings.BREAKER_FAILURES, openMs: settings.BREAKER_OPEN_MS },
    },
  })
  const health = await serveHealth({
    host: settings.WORKER_HEALTH_HOST, port: settings.WORKER_HEALTH_PORT, registry,
    health: worker.status, ready: () => checkRedis(probe, `${keysOf(deployment).prefix}probe:${name}`),
  })
  log.info({ modes: settings.WORKER_MODES, slots: worker.status().slots, storage: storage.root, health_port: health.port }, 'the worker takes tasks')
  releaseIdleMemory()
  stopOnSignal(process, [
    { name: 'worker', stop: worker.stop },
    { name: 'egress', stop: async () => egress?.close(), patienceMs: STOP_MS },
    { name: 'files', stop: files.stop },
    { name: 'health', stop: health.stop },
    { name: 'producer', stop: producer.close, patienceMs: STOP_MS },
    { name: 'Redis', stop: () => Promise.resolve([redis, bells, probe].forEach((connection) => connection.disconnect())) },
  ], log)
}

try {
  const settings = loadSettings(process.env)
  if (settings.REDIS_URL === undefined) throw new Error('REDIS_URL: not set; `npm start` sets it, or give the URL of a Redis')
  await main(settings, settings.REDIS_URL)
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exit(1)
}
