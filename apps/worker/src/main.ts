import { hostname } from 'node:os'
import { join, resolve } from 'node:path'
import process from 'node:process'

import { openStorage, outgrows, workspaceOf } from '@longshore/backends'
import { openSharedDirectory } from '@longshore/blobs'
import { createDoorbell, createLedger, keysOf } from '@longshore/ledger'
import { createFilesSecret, createTicketProducer } from '@longshore/queue'
import { budgetFrom, checkRedis, connectRedis, createLogger, createMetrics, loadSettings, policyOf, readProfiles, releaseIdleMemory, sayIfUnusable, serveHealth, type Settings, stopOnSignal, untilReady, withBlobs } from '@longshore/runtime'
import packageJson from '../package.json' with { type: 'json' }
import { buildBackends, workspaceLimits } from './build-backends.ts'
import { buildEgress } from './build-egress.ts'
import { createWorker } from './create-worker.ts'
import { openFilesDoor } from './files-door.ts'
import type { CollectSettings } from './keep/start-collecting.ts'
import { markFileOf } from './ledger-mark.ts'

const REDIS_WAIT_MS = 30_000
const STOP_MS = 5_000

async function main(settings: Settings, redisUrl: string): Promise<void> {
  const deployment = settings.LONGSHORE_DEPLOYMENT
  const name = settings.WORKER_NAME ?? `${hostname().replaceAll(/[^A-Za-z0-9._-]/g, '-').slice(0, 60)}-${process.pid}`
  const log = createLogger({ app: 'worker', level: settings.LOG_LEVEL, format: settings.LOG_FORMAT }).child({ worker: name })
  const storage = await openStorage(settings.WORKSPACE_DIR ?? join(settings.LONGSHORE_HOME, 'workspaces'))
  const store = openSharedDirectory(resolve(settings.BLOBS_DIR ?? join(settings.LONGSHORE_HOME, 'blobs')))
  await sayIfUnusable(store, log)
  const profiles = await readProfiles(settings)
  // Background connections wait for Redis to come back; readiness must answer while it is away.
  const [redis, bells, probe] = [connectRedis(redisUrl, 'background', log), connectRedis(redisUrl, 'background', log), connectRedis(redisUrl, 'caller', log)]
  await untilReady(redis, REDIS_WAIT_MS)
  const registry = createMetrics('worker')
  const egress = buildEgress({ settings, profiles, env: process.env, redis: probe, redisUrl, deployment, version: packageJson.version, since: Date.now(), registry, log })
  const backends = await buildBackends({ settings, profiles, env: process.env, uid: process.getuid?.(), gid: process.getgid?.(), storage, blobs: store, egress, log })
  const producer = createTicketProducer({ redisUrl, deployment, log })
  const files = await openFilesDoor({
    host: settings.WORKER_FILES_HOST, port: settings.WORKER_FILES_PORT, url: settings.WORKER_FILES_URL, hostname: hostname(), storage, secret: createFilesSecret(probe, deployment), log,
  })
  const worker = await createWorker({
    redis, ledger: createLedger({ redis, deployment, log }), doorbell: createDoorbell(bells, deployment), producer, backends,
    deployment, name, host: hostname(), version: packageJson.version, storageId: storage.id, filesUrl: files.url, log, registry, keep: { storage, store, maxBytes: settings.BLOB_TASK_BYTES },
    outgrown: (taskId, signal) => outgrows(workspaceOf(storage, taskId).directory, workspaceLimits(settings), signal),
    ...(settings.COLLECT === 'off' ? {} : { collect: collectSettings(settings, join(storage.root, markFileOf(deployment))) }),
    ...(settings.SWEEP === 'off' ? {} : { sweep: { everyMs: settings.SWEEP_EVERY_MS, isDryRun: settings.SWEEP === 'dry-run', markFile: join(storage.root, markFileOf(deployment)) } }),
    settings: {
      concurrency: settings.WORKER_CONCURRENCY ?? settings.MAX_CONCURRENT_TASKS, lockMs: settings.LOCK_DURATION_MS,
      stalledIntervalMs: settings.STALLED_INTERVAL_MS, drainGraceMs: settings.DRAIN_GRACE_MS, retryDelayMs: settings.RETRY_DELAY_MS,
      inputs: { policy: policyOf(settings), ttlMs: settings.INPUT_TTL_MS, unanswered: settings.INPUT_UNANSWERED, graceMs: settings.INPUT_GRACE_MS },
      poisonLimit: settings.POISON_LIMIT, agentsDay: budgetFrom(settings.AGENT_DAILY_TOKENS, settings.AGENT_DAILY_COST_MICROS), breaker: { failures: settings.BREAKER_FAILURES, openMs: settings.BREAKER_OPEN_MS },
    },
  })
  const health = await serveHealth({
    host: settings.WORKER_HEALTH_HOST, port: settings.WORKER_HEALTH_PORT, registry,
    health: worker.status, ready: async () => withBlobs(await checkRedis(probe, `${keysOf(deployment).prefix}probe:${name}`), store),
  })
  log.info({ modes: settings.WORKER_MODES, profiles: Object.keys(profiles), slots: worker.status().slots, storage: storage.root, health_port: health.port }, 'the worker takes tasks')
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

const DAY_MS = 24 * 60 * 60_000

function collectSettings(settings: Settings, markFile: string): CollectSettings {
  return {
    everyMs: settings.COLLECT_EVERY_MS, isDryRun: settings.COLLECT === 'dry-run', markFile, workspaceRetentionMs: settings.WORKSPACE_RETENTION_DAYS * DAY_MS, namedRetentionMs: settings.WORKSPACE_NAMED_RETENTION_DAYS * DAY_MS,
    limits: { retentionMs: settings.BLOB_RETENTION_DAYS * DAY_MS, totalBytes: settings.BLOB_TOTAL_BYTES, agentBytes: settings.BLOB_AGENT_BYTES, archive: { retentionMs: settings.ARCHIVE_RETENTION_DAYS * DAY_MS, totalBytes: settings.ARCHIVE_TOTAL_BYTES } },
    logs: { retentionMs: settings.EVENTS_RETENTION_DAYS * DAY_MS, totalBytes: settings.EVENTS_TOTAL_BYTES },
  }
}

try {
  const settings = loadSettings(process.env)
  if (settings.REDIS_URL === undefined) throw new Error('REDIS_URL: not set; `npm start` sets it, or give the URL of a Redis')
  await main(settings, settings.REDIS_URL)
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exit(1)
}
