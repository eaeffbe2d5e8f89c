import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'

import { openSharedDirectory } from '@longshore/blobs'
import { createDoorbell, createLedger, keysOf } from '@longshore/ledger'
import { checkRedis, connectRedis, createLogger, createMetrics, loadSettings, serveHealth, type Settings, SettingsError, stopOnSignal } from '@longshore/runtime'
import { inboundOf } from './inbound/inbound-of.ts'
import { createKeptFiles } from './kept-files.ts'
import { createNoticeMetrics } from './metrics.ts'
import { startNotifier } from './notifier.ts'
import { sinksOf } from './sinks-of.ts'

const settings = settingsOrExit()
const log = createLogger({ app: 'notifier', level: settings.LOG_LEVEL, format: settings.LOG_FORMAT })
const deployment = settings.LONGSHORE_DEPLOYMENT

// Two connections that work and one that listens: a probe must not queue behind a Redis that is away.
const redis = connectRedis(settings.REDIS_URL, 'background', log)
const probe = connectRedis(settings.REDIS_URL, 'caller', log)
const doorbell = createDoorbell(connectRedis(settings.REDIS_URL, 'background', log), deployment)
const registry = createMetrics('notifier')

const stopping = new AbortController()
const metrics = createNoticeMetrics(registry, { redis: probe, deployment, now: Date.now })
const ledger = createLedger({ redis, deployment, log })
// A folder that is not there at the start belongs to another machine.
const blobs = resolve(settings.BLOBS_DIR ?? join(settings.LONGSHORE_HOME, 'blobs'))
const files = settings.BLOBS_DIR !== undefined || existsSync(settings.LONGSHORE_HOME) ? createKeptFiles(openSharedDirectory(blobs), ledger) : undefined
const outlets = sinksOf(settings, { log, now: Date.now, signal: stopping.signal, files }).map((sink) => {
  const counted = metrics.of(sink.name)
  const notifier = startNotifier({ redis, deployment, ledger, doorbell, sink, log, now: Date.now, random: Math.random, onOutcome: counted.onOutcome })
  return { sink: sink.name, check: counted.check, notifier }
})
const inbound = inboundOf(settings, { redis, ledger, registry, log, now: Date.now, random: Math.random })

const health = await serveHealth({
  host: settings.NOTIFIER_HEALTH_HOST,
  port: settings.NOTIFIER_HEALTH_PORT,
  registry,
  health: () => ({ status: 'ok', app: 'notifier', deployment, sinks: Object.fromEntries(outlets.map(({ sink, notifier }) => [sink, notifier.state()])), ...(inbound === undefined ? {} : { matrix_commands: inbound.state() }) }),
  ready: async () => {
    const readiness = await checkRedis(probe, `${keysOf(deployment).prefix}probe:notifier`)
    const checks = [...readiness.checks, ...outlets.map((one) => one.check()), ...(inbound === undefined ? [] : [inbound.check()])]
    return { ready: checks.every((check) => check.ok), checks }
  },
}).catch((error: unknown) => {
  log.error({ reason: String(error) }, `NOTIFIER_HEALTH_PORT: cannot listen on ${settings.NOTIFIER_HEALTH_HOST}:${settings.NOTIFIER_HEALTH_PORT}; give another port, or 0 for a free one`)
  process.exit(1)
})
log.info({ port: health.port, sinks: outlets.map(({ sink }) => sink), deployment }, 'notifier is up')

stopOnSignal(process, [
  { name: 'matrix commands', stop: async () => inbound?.stop() },
  // Calls under way are cut: what was sent or not is found out by the next notifier, under the same transaction id.
  { name: 'notifier', stop: async () => (stopping.abort(), void (await Promise.all(outlets.map((one) => one.notifier.stop())))) },
  { name: 'health', stop: () => health.stop() },
  { name: 'redis', stop: async () => (doorbell.close(), redis.disconnect(), probe.disconnect()) },
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
