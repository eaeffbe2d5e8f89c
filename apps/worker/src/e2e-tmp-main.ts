import { hostname } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { createDockerMode, createOpencodeMode, openStorage } from '@longshore/backends'
import { createDoorbell, createLedger } from '@longshore/ledger'
import { createTicketProducer } from '@longshore/queue'
import { checkRedis, connectRedis, createLogger, createMetrics, loadSettings, serveHealth, stopOnSignal } from '@longshore/runtime'
import { createWorker } from './create-worker.ts'

const s = loadSettings(process.env)
const log = createLogger({ app: 'worker', level: s.LOG_LEVEL, format: s.LOG_FORMAT })
const redisUrl = s.REDIS_URL!
const deployment = s.LONGSHORE_DEPLOYMENT
const redis = connectRedis(redisUrl, 'background', log)
const probe = connectRedis(redisUrl, 'caller', log)
const doorbell = createDoorbell(connectRedis(redisUrl, 'background', log), deployment)
const producer = createTicketProducer({ redisUrl, deployment, log })
const storage = await openStorage(s.WORKSPACE_DIR ?? join(s.LONGSHORE_HOME, 'workspaces'))
const model = { config: s.SCRIPTED_PROVIDER_URL === undefined ? {} : {
  model: 'scripted/longshore-scripted', small_model: 'scripted/longshore-scripted',
  provider: { scripted: { npm: '@ai-sdk/openai-compatible', options: { baseURL: s.SCRIPTED_PROVIDER_URL, apiKey: s.SCRIPTED_PROVIDER_TOKEN }, models: { 'longshore-scripted': { name: 'x', tool_call: true, limit: { context: 200000, output: 32000 } } } } },
}, env: {} }
const backends = []
if (s.WORKER_MODES.includes('docker')) backends.push(createDockerMode({ deployment, engine: s.DOCKER_HOST!, storage, image: s.RUNNER_IMAGE, model, log, ...(s.SCRIPTED_PROVIDER_URL === undefined ? {} : { modelOnHost: s.SCRIPTED_PROVIDER_URL }) }))
if (s.WORKER_MODES.includes('opencode')) backends.push(await createOpencodeMode({ deployment, storage, model, path: process.env['PATH']!, log, ...(s.OPENCODE_SERVER_URL === undefined ? {} : { server: { url: s.OPENCODE_SERVER_URL, password: s.OPENCODE_SERVER_PASSWORD! } }) }))
const registry = createMetrics('worker')
const worker = await createWorker({ redis, ledger: createLedger({ redis, deployment, log }), doorbell, producer, backends, deployment, name: s.WORKER_NAME ?? `${hostname()}-${process.pid}`, host: hostname(), version: '0', storageId: storage.id, log, registry,
  settings: { concurrency: s.WORKER_CONCURRENCY ?? s.MAX_CONCURRENT_TASKS, lockMs: s.LOCK_DURATION_MS, stalledIntervalMs: s.STALLED_INTERVAL_MS, drainGraceMs: s.DRAIN_GRACE_MS, retryDelayMs: s.RETRY_DELAY_MS } })
const health = await serveHealth({ host: '127.0.0.1', port: s.WORKER_HEALTH_PORT, registry, health: () => worker.status(), ready: async () => {
  const r = await checkRedis(probe, `x:${deployment}`)
  return { ready: r.ready && worker.status().modes.some((m) => m.ok), checks: r.checks }
} })
stopOnSignal(process, [{ name: 'worker', stop: () => worker.stop() }, { name: 'health', stop: () => health.stop() }], log)
