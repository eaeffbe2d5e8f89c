import { setTimeout as sleep } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import type { Registry } from 'prom-client'

import type { Backend, DeploymentId, Handle, Log, Mode, Ticket } from '@longshore/contracts'
import type { Doorbell, Ledger } from '@longshore/ledger'
import { consumeTickets, createHeartbeats, dispatchOnce, dispatchTickets, type Heartbeat, reconcileTickets, type TicketConsumer, type TicketProducer } from '@longshore/queue'
import { keepRounds, stopAll, type Stoppable } from '@longshore/runtime'

import { createDebtCollector } from './collect-debts.ts'
import { type ModeBoard, watchModes } from './mode-board.ts'
import { type RedisClock, startRedisClock } from './redis-clock.ts'
import { runTask } from './run-task.ts'
import type { RunTaskDeps } from './run.ts'
import { within } from './within.ts'
import { createWorkerMetrics } from './worker-metrics.ts'

export interface WorkerDeps {
  /** In the `background` role. */
  redis: Redis
  ledger: Ledger
  doorbell: Pick<Doorbell, 'listen'>
  producer: TicketProducer
  /** One per mode that this worker serves. They are closed at its end. */
  backends: readonly Backend[]
  deployment: DeploymentId
  /** Unique among the workers that run now. */
  name: string
  host: string
  version: string
  storageId?: string
  /** Whether this worker's backends see the place that a handle names. Default: the same storage. */
  reaches?: (handle: Handle) => boolean
  log: Log
  registry: Registry
  settings: WorkerSettings
}

/** Durations in ms. */
export interface WorkerSettings {
  concurrency: number
  lockMs: number
  stalledIntervalMs: number
  drainGraceMs: number
  retryDelayMs: number
  /** Between two probes of a backend. Default 10 s. */
  probeEveryMs?: number
}

export interface RunningWorker {
  /** What the worker says of itself. */
  status(): Heartbeat
  /** G12: takes nothing more, waits the grace period, hands over what still runs, and ends. */
  stop(): Promise<void>
}

const HEARTBEAT_MS = 5_000
const DEBTS_MS = 5_000
/** A part that hangs does not keep the process from ending. */
const STOP_MS = 5_000
/** Telling an execution to stop and disposing of it (see close-run.ts), and some. */
const HANDOVER_MS = 45_000

/** A worker that takes tickets of its modes and runs their tasks until it is stopped. @throws when Redis does not answer at all */
export async function createWorker(deps: WorkerDeps): Promise<RunningWorker> {
  const { redis, ledger, producer, deployment, name, log, settings } = deps
  const clock = await startRedisClock(redis)
  const handover = new AbortController()
  const dispatcher = dispatchTickets({ source: ledger, producer, log })
  const reconciler = reconcileTickets({ ledger, redis, deployment, name, log, onReissued: dispatcher.wake })
  const backendOf = (mode: Mode) => deps.backends.find((backend) => backend.mode === mode)
  const runDeps: RunTaskDeps = {
    ledger, doorbell: deps.doorbell, clock, log, worker: name, retryDelayMs: settings.retryDelayMs, chance: Math.random,
    metrics: createWorkerMetrics(deps.registry), handover: handover.signal, onRequeued: dispatcher.wake, onTrouble: (mode) => board.doubt(mode),
  }
  const handle = async (ticket: Ticket, lost: AbortSignal) => {
    const backend = backendOf(ticket.mode)
    return backend === undefined ? 'again' : runTask(runDeps, backend, ticket, lost)
  }
  const consumer = consumeTickets({
    redis, deployment, name, log, handle, modes: deps.backends.map(({ mode }) => mode),
    concurrency: settings.concurrency, lockMs: settings.lockMs, stalledIntervalMs: settings.stalledIntervalMs,
  })
  const board = watchModes({ backends: deps.backends, log, ...(settings.probeEveryMs === undefined ? {} : { everyMs: settings.probeEveryMs }), onChange: (mode, isOk) => {
    consumer.setOpen(mode, isOk)
    heart.wake()
  } })
  const startedAt = clock.now()
  let isDraining = false
  const status = (): Heartbeat => describe({ deps, consumer, board, startedAt, isDraining })
  const heartbeats = createHeartbeats(redis, deployment)
  const heart = keepRounds({ everyMs: HEARTBEAT_MS, log, failing: 'the heartbeat could not be written', round: async () => {
    await clock.measure()
    await heartbeats.beat(status())
  } })
  const debts = watchDebts(deps, clock, backendOf)
  return {
    status,
    stop: async () => {
      isDraining = true
      heart.wake()
      await drain({ redis, consumer, handover, graceMs: settings.drainGraceMs, log })
      await stopAll([
        { name: 'modes', stop: () => board.stop() },
        { name: 'debts', stop: () => debts.stop() },
        { name: 'dispatcher', stop: () => dispatcher.stop() },
        { name: 'reconciler', stop: () => reconciler.stop() },
        // What was handed over should wait in the queue, not for the next process that dispatches.
        { name: 'last dispatch', stop: async () => void (await dispatchOnce(ledger, producer)) },
        { name: 'heartbeat', stop: async () => {
          await heart.stop()
          await heartbeats.remove(name)
        } },
        ...deps.backends.map((backend): Stoppable => ({ name: `${backend.mode} backend`, stop: () => backend.close() })),
      ].map(bounded), log)
    },
  }
}

/** Redis may be away, an engine may hang: the process ends all the same. */
function bounded({ name, stop }: Stoppable): Stoppable {
  return { name, stop: () => within(STOP_MS, stop(), `stopping: ${name}`) }
}

function watchDebts({ ledger, log, storageId, reaches }: WorkerDeps, clock: RedisClock, backendOf: (mode: Mode) => Backend | undefined) {
  const sameStorage = (handle: Handle) => handle.storage_id === undefined || storageId === undefined || handle.storage_id === storageId
  const collect = createDebtCollector({ ledger, backendOf, clock, log, reaches: reaches ?? sameStorage })
  return keepRounds({ everyMs: DEBTS_MS, log, failing: 'leftovers could not be looked for', round: async () => void (await collect()) })
}

async function drain({ redis, consumer, handover, graceMs, log }: { redis: Redis; consumer: TicketConsumer; handover: AbortController; graceMs: number; log: Log }): Promise<void> {
  const running = consumer.running()
  if (running > 0) log.info({ running, grace_ms: graceMs }, 'draining: no new tasks; what runs has the grace period to end')
  const taking = consumer.stopTaking()
  const graceOver = new AbortController()
  await Promise.race([taking.then(() => consumer.idle()), sleep(graceMs, undefined, { signal: graceOver.signal })])
  graceOver.abort()
  handover.abort()
  // Without Redis nothing can be handed over: the tickets' locks run out, and another worker takes over.
  const patienceMs = redis.status === 'ready' ? HANDOVER_MS : STOP_MS
  await within(patienceMs, consumer.stop(), 'handing over').catch((error: unknown) => log.error({ err: error }, 'not everything was handed over; another worker takes over'))
}

function describe({ deps, consumer, board, startedAt, isDraining }: { deps: WorkerDeps; consumer: TicketConsumer; board: ModeBoard; startedAt: number; isDraining: boolean }): Heartbeat {
  return {
    v: 1, name: deps.name, host: deps.host, version: deps.version, started_at: startedAt,
    slots: deps.settings.concurrency, running: consumer.running(), draining: isDraining,
    ...(deps.storageId === undefined ? {} : { storage_id: deps.storageId }),
    modes: board.reports(),
  }
}
