import type { AddressInfo } from 'node:net'
import { join, resolve as toAbsolute } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { openSharedDirectory } from '@longshore/blobs'
import type { Log, Profiles } from '@longshore/contracts'
import { createApiKeys, createDoorbell, createLedger, keysOf } from '@longshore/ledger'
import { createDeadLetters } from '@longshore/outbox'
import { createDrainRequests, createFilesSecret, createHeartbeats, createTicketProducer, dispatchTickets } from '@longshore/queue'
import { createRolloutStore } from '@longshore/rollout'
import { allowedFrom, budgetFrom, checkRedis, connectRedis, createMetrics, networksOf, type Settings, withBlobs } from '@longshore/runtime'
import { createAllowLists } from './allow-lists.ts'
import { createApiDoor } from './api-door.ts'
import { createCallOperation } from './call-operation.ts'
import { createGatewayMetrics } from './gateway-metrics.ts'
import { createHttpFront, type HttpFront } from './http-front.ts'
import { createKeyCheck } from './key-check.ts'
import { createLiveRollout } from './live-rollout.ts'
import { createMcpDoor } from './mcp-door.ts'
import { newTaskId } from './new-task-id.ts'
import { keptFirst } from './operations/kept-files.ts'
import { modeStatuses } from './operations/mode-status.ts'
import type { Ports } from './operations/operation.ts'
import { createSentFiles } from './operations/sent-files.ts'
import { operationTable } from './operations/table.ts'
import { createTaskFiles } from './operations/task-files-port.ts'
import { processHealth } from './process-health.ts'
import { createTicketDispatch } from './ticket-dispatch.ts'

export type GatewaySettings = Pick<Settings,
  'LONGSHORE_DEPLOYMENT' | 'MCP_HOST' | 'MCP_PORT' | 'MCP_ALLOWED_HOSTS' | 'MCP_ALLOWED_ORIGINS' | 'SYNC_WAIT_MS' | 'RUNNER_TIMEOUT_MS' | 'QUEUE_TTL_MS' | 'PAUSED_TTL_MS' | 'PAUSED_END'
  | 'TASK_TOKENS' | 'TASK_COST_MICROS' | 'AGENT_DAILY_TOKENS' | 'AGENT_DAILY_COST_MICROS'
  | 'TASK_MODELS' | 'TASK_IMAGES' | 'TASK_ENV_NAMES' | 'TASK_MAX_CPUS' | 'TASK_MAX_MEMORY' | 'TASK_MAX_ATTEMPTS' | 'RUNNER_CPU_LIMIT' | 'RUNNER_MEMORY_LIMIT'
  | 'EGRESS' | 'EGRESS_POLICY' | 'EGRESS_MOST' | 'CANARY_OPENCODE_PERCENT' | 'OPENCODE_SERVER_ENABLED' | 'MAX_TASK_FILE_SIZE' | 'BLOBS_DIR' | 'LONGSHORE_HOME' | 'WEBHOOK_CALLBACK_ALLOW'>

export interface GatewayOptions { settings: GatewaySettings; profiles: Profiles; redisUrl: string; version: string; log: Log }

export interface Gateway {
  /** The one that was bound: MCP_PORT, or a free one when that is 0. */
  port: number
  /** Base URL, such as http://127.0.0.1:3456. */
  url: string
  /** Takes no more calls, ends waits, lets running calls finish (at most 5 s), closes its connections. */
  stop(): Promise<void>
}

/**
 * Builds a gateway and listens. Everything it knows is in Redis, so any number of them serve one deployment; it starts
 * also while Redis is away, and then answers `unavailable` until Redis is back.
 * @throws Error when the address cannot be bound
 */
export async function createGateway(options: GatewayOptions): Promise<Gateway> {
  const { settings, log } = options
  const parts = connectParts(options)
  await parts.untilReady()
  // For the submits of a gateway that died before their tickets were in the queue.
  const rounds = dispatchTickets({ source: parts.ledger, producer: parts.producer, log })
  const front = buildFront(options, parts)
  const close = async () => {
    await rounds.stop()
    await parts.close()
  }
  try {
    await new Promise<void>((resolve, reject) => front.server.once('error', reject).listen(settings.MCP_PORT, settings.MCP_HOST, resolve))
  } catch (error) {
    await close()
    throw bindError(error, settings)
  }
  const { port } = front.server.address() as AddressInfo
  const url = `http://${inUrl(settings.MCP_HOST)}:${port}`
  log.info({ url, deployment: settings.LONGSHORE_DEPLOYMENT }, 'the gateway listens')
  return {
    port,
    url,
    async stop() {
      await closeServer(front)
      await close()
    },
  }
}

/** How long a start waits for Redis (ms). */
const START_WAIT_MS = 2_000

type Parts = ReturnType<typeof connectParts>

function connectParts({ settings, redisUrl, log }: GatewayOptions) {
  const deployment = settings.LONGSHORE_DEPLOYMENT
  const redis = connectRedis(redisUrl, 'caller', log)
  const ledger = createLedger({ redis, deployment, log })
  const doorbell = createDoorbell(connectRedis(redisUrl, 'background', log), deployment)
  const producer = createTicketProducer({ redisUrl, deployment, log })
  const tickets = createTicketDispatch({ producer, ledger, log })
  return {
    redis, ledger, doorbell, producer, tickets,
    heartbeats: createHeartbeats(redis, deployment),
    drains: createDrainRequests(redis, deployment),
    deadNotices: createDeadLetters(redis, deployment),
    apiKeys: createApiKeys(redis, deployment),
    rollout: createRolloutStore(redis, deployment),
    /** Callers of the first moment should not meet connections that are only being made; a Redis that is away does not keep us from listening. */
    async untilReady() {
      for (const until = performance.now() + START_WAIT_MS; performance.now() < until; await sleep(25)) {
        const [one, two] = await Promise.allSettled([redis.ping(), producer.time()])
        if (one.status === 'fulfilled' && two.status === 'fulfilled') return
      }
      log.warn({}, 'Redis does not answer yet; calls are refused until it does')
    },
    async close() {
      await tickets.idle()
      await producer.close()
      doorbell.close()
      redis.disconnect()
    },
  }
}

function buildFront({ settings, profiles, version, log }: GatewayOptions, parts: Parts): HttpFront {
  const registry = createMetrics('gateway')
  const metrics = createGatewayMetrics(registry, () => parts.ledger.counts())
  const monotonic = () => performance.now()
  const store = openSharedDirectory(toAbsolute(settings.BLOBS_DIR ?? join(settings.LONGSHORE_HOME, 'blobs')))
  const ports: Ports = {
    ledger: { ...parts.ledger, submit: metrics.timeSubmit(parts.ledger.submit) },
    doorbell: parts.doorbell,
    dispatch: parts.tickets.dispatch,
    rollout: createLiveRollout(parts.rollout, settings, monotonic),
    modes: async () => modeStatuses(await parts.heartbeats.list()),
    workers: parts.heartbeats.list,
    drains: parts.drains,
    deadNotices: parts.deadNotices,
    files: keptFirst(store, createTaskFiles({ workers: parts.heartbeats.list, secret: createFilesSecret(parts.redis, settings.LONGSHORE_DEPLOYMENT) })),
    sent: createSentFiles({ store, ledgerId: async () => (await parts.ledger.identity()).id, log }),
    newTaskId,
    now: Date.now,
    version,
    profiles,
    allowed: allowedFrom(settings),
    limits: limitsOf(settings),
  }
  const operations = operationTable(ports)
  const callOperation = createCallOperation({ log, metrics })
  return createHttpFront({
    allow: createAllowLists([inUrl(settings.MCP_HOST), ...settings.MCP_ALLOWED_HOSTS], settings.MCP_ALLOWED_ORIGINS),
    checkKey: createKeyCheck(parts.apiKeys, monotonic),
    mcp: createMcpDoor({ operations, callOperation, version, log }),
    api: createApiDoor(operations, callOperation),
    registry,
    health: processHealth(version, settings.LONGSHORE_DEPLOYMENT, ports.modes),
    ready: async () => withBlobs(await checkRedis(parts.redis, `${keysOf(settings.LONGSHORE_DEPLOYMENT).prefix}ready`), store),
    log,
  })
}

function limitsOf(settings: GatewaySettings): Ports['limits'] {
  return {
    maxAttempts: settings.TASK_MAX_ATTEMPTS, networks: networksOf(settings), callbacks: settings.WEBHOOK_CALLBACK_ALLOW,
    syncWaitMs: settings.SYNC_WAIT_MS, defaultTimeoutMs: settings.RUNNER_TIMEOUT_MS, defaultQueueTtlMs: settings.QUEUE_TTL_MS, pausedTtlMs: settings.PAUSED_TTL_MS, pausedEnd: settings.PAUSED_END, maxFileBytes: settings.MAX_TASK_FILE_SIZE,
    taskBudget: budgetFrom(settings.TASK_TOKENS, settings.TASK_COST_MICROS), agentsDay: budgetFrom(settings.AGENT_DAILY_TOKENS, settings.AGENT_DAILY_COST_MICROS),
  }
}

function bindError(error: unknown, { MCP_HOST, MCP_PORT }: GatewaySettings): unknown {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (code === 'EADDRINUSE') return new Error(`MCP_PORT: ${MCP_HOST}:${MCP_PORT} is in use by another program; stop it or choose another port`, { cause: error })
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND' || code === 'EACCES') return new Error(`MCP_HOST, MCP_PORT: the gateway may not listen on ${MCP_HOST}:${MCP_PORT} (${code})`, { cause: error })
  return error
}

/** An address as URLs write it. */
function inUrl(host: string): string {
  return host.includes(':') ? `[${host}]` : host
}

/** How long calls that run may take to finish once the gateway was told to stop (ms). */
const FINISH_MS = 5_000

async function closeServer({ server, endWaits }: HttpFront): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  endWaits()
  server.closeIdleConnections()
  const timer = setTimeout(() => server.closeAllConnections(), FINISH_MS)
  await closed
  clearTimeout(timer)
}
