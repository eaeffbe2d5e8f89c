import type { Redis } from 'ioredis'
import type { Registry } from 'prom-client'

import type { Storage } from '@longshore/backends'
import { type Backend, type BlobStore, type Budget, DEFAULT_INPUT_TTL_MS, type DeploymentId, type Log, type Mode, NO_RULES } from '@longshore/contracts'
import type { Doorbell, Ledger } from '@longshore/ledger'
import { consumeTickets, createHeartbeats, dispatchOnce, dispatchTickets, type Heartbeat, type Heartbeats, listEngines, type ModeReport, reconcileTickets, type TicketProducer } from '@longshore/queue'
import { keepRounds, type Rounds, stopAll, type Stoppable } from '@longshore/runtime'

import type { BreakerSettings } from './breaker.ts'
import { createDebtCollector } from './collect-debts.ts'
import { createDrain, type Drain } from './drain.ts'
import { isHere } from './here.ts'
import type { InputRules } from './inquiry.ts'
import { createKeeper } from './keep/keeper.ts'
import { type CollectSettings, startCollecting } from './keep/start-collecting.ts'
import { type ModeBoard, watchModes } from './mode-board.ts'
import { type RedisClock, startRedisClock } from './redis-clock.ts'
import { runTask } from './run-task.ts'
import type { RunTaskDeps } from './run.ts'
import { findSuccessors } from './successors.ts'
import { createSuspects } from './suspects.ts'
import { createSweeper } from './sweep.ts'
import type { Outgrown } from './watch-size.ts'
import { createWorkerMetrics, watchBreakers, type WorkerMetrics } from './worker-metrics.ts'

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
  /** Where it serves the files of that storage's tasks (files-door.ts). */
  filesUrl?: string | undefined
  /** Default: workspaces may grow without a limit. */
  outgrown?: Outgrown
  /** Where full outputs are written, and where what ended tasks leave is kept. Without it neither is. */
  keep?: { storage: Storage; store: BlobStore; maxBytes: number }
  /** Whether and how what is kept for too long is removed. Default: not at all. */
  collect?: CollectSettings
  /** Whether and how leftovers are looked for. Default: not at all. */
  sweep?: { everyMs: number; isDryRun: boolean; markFile: string }
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
  /** Owners in a row that may die soon after they took a task. Default 5. */
  poisonLimit?: number
  /** Default: `DEFAULT_INPUT_RULES`. */
  inputs?: Partial<InputRules>
  /** What each agent may use in a day (UTC); default: without a limit. */
  agentsDay?: Budget | undefined
  /** When a mode stops taking tasks because its place fails them. Default: after 3 failures, for 10 s. */
  breaker?: BreakerSettings
  /** Between two looks at the size of a workspace, at least. Default 5 s. */
  sizeEveryMs?: number
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
const KEEP_MS = 2_000
/** What ended in the last moment is kept by whoever starts next, unless it is done in so long. */
const LAST_KEEP_MS = 4_000
/** Redis may be away, an engine may hang: the process ends all the same. */
const STOP_MS = 5_000
const DEFAULT_BREAKER: BreakerSettings = { failures: 3, openMs: 10_000 }
const DEFAULT_POISON_LIMIT = 5
const DEFAULT_INPUT_RULES: InputRules = { policy: NO_RULES, ttlMs: DEFAULT_INPUT_TTL_MS, unanswered: 'deny', graceMs: 60_000 }

/** A worker that takes tickets of its modes and runs their tasks until it is stopped. @throws when Redis does not answer at all */
export async function createWorker(deps: WorkerDeps): Promise<RunningWorker> {
  const { redis, ledger, producer, deployment, name, log, settings } = deps
  const clock = await startRedisClock(redis)
  // The ledger begins before anything that it will ever know of (G10), also where nothing is swept yet.
  await ledger.identity()
  const dispatcher = dispatchTickets({ source: ledger, producer, log })
  const reconciler = reconcileTickets({ ledger, redis, deployment, name, log, onReissued: dispatcher.wake })
  const heartbeats = createHeartbeats(redis, deployment)
  const backendOf = (mode: Mode) => deps.backends.find((backend) => backend.mode === mode)
  const consumer = consumeTickets({
    redis, deployment, name, log, modes: deps.backends.map(({ mode }) => mode),
    concurrency: settings.concurrency, lockMs: settings.lockMs, stalledIntervalMs: settings.stalledIntervalMs,
    handle: async (ticket, lost) => {
      const backend = backendOf(ticket.mode)
      return backend === undefined || drain.isDraining() || !hasProfile(backend, ticket.profile) ? 'again' : runTask(runDeps, backend, ticket, lost)
    },
  })
  const admit = (mode: Mode) => {
    consumer.setEngine(mode, board.engineOf(mode))
    consumer.setOpen(mode, !drain.isDraining() && board.admits(mode))
  }
  const startedAt = clock.now()
  const status = () => describe(deps, { startedAt, running: consumer.running(), draining: drain.isDraining(), modes: board.reports() })
  const drain = createDrain({
    consumer, log, graceMs: settings.drainGraceMs, announce: () => heartbeats.beat(status()),
    onChange: () => deps.backends.forEach(({ mode }) => admit(mode)),
  })
  const board = watchModes({
    backends: deps.backends, breaker: settings.breaker ?? DEFAULT_BREAKER, log, ...(settings.probeEveryMs === undefined ? {} : { everyMs: settings.probeEveryMs }),
    onChange: (mode) => {
      admit(mode)
      heart.wake()
    },
  })
  watchBreakers(deps.registry, board)
  const runDeps = runDepsOf(deps, { clock, board, drain, heartbeats, onRequeued: dispatcher.wake })
  const heart = keepRounds({ everyMs: HEARTBEAT_MS, log, failing: 'the heartbeat could not be written', round: async () => {
    await clock.measure()
    drain.want((await heartbeats.beat(status())).isDrainAsked)
  } })
  const collect = createDebtCollector({ ledger, backendOf, clock, log, reaches: (handle) => isHere(handle, runDeps) })
  const debts = keepRounds({ everyMs: DEBTS_MS, log, failing: 'leftovers could not be looked for', round: async () => void (await collect()) })
  const sweeps = [...keepSweeping(deps, clock, runDeps.metrics), ...keepCollecting(deps, clock, runDeps.metrics)]
  const keeper = startKeeper(deps, clock, runDeps.metrics)
  return {
    status,
    stop: async () => {
      await drain.finish()
      await stopAll([
        part('rounds', () => Promise.all([consumer, board, debts, ...sweeps, dispatcher, reconciler].map((one) => one.stop()))),
        part('keeping', () => keeper.stop()),
        // What was handed over should wait in the queue, not for the next process that dispatches.
        part('last dispatch', () => dispatchOnce(ledger, producer)),
        part('heartbeat', async () => {
          await heart.stop()
          await heartbeats.remove(name)
        }),
        ...deps.backends.map((backend) => part(`${backend.mode} backend`, () => backend.close())),
      ], log)
    },
  }
}

/** Where workers differ, another one has it: the ticket goes back. */
function hasProfile({ profiles }: Backend, profile: string | undefined): boolean {
  return profile === undefined || (profiles?.has(profile) ?? false)
}

function part(name: string, stop: () => Promise<unknown>): Stoppable {
  return { name, stop: async () => void (await stop()), patienceMs: STOP_MS }
}

function keepSweeping({ sweep, ledger, backends, log }: WorkerDeps, clock: RedisClock, { swept }: WorkerMetrics): Rounds[] {
  if (sweep === undefined) return []
  const round = createSweeper({ ledger, backends, now: clock.now, log, markFile: sweep.markFile, isDryRun: sweep.isDryRun, onSwept: (mode, count) => swept.inc({ mode }, count) })
  return [keepRounds({ everyMs: sweep.everyMs, round, log, failing: 'orphans could not be looked for' })]
}

function keepCollecting({ keep, collect, ledger, name, log }: WorkerDeps, clock: RedisClock, metrics: WorkerMetrics): Rounds[] {
  return keep === undefined || collect === undefined ? [] : startCollecting(collect, { ...keep, ledger, name, log, now: clock.now, metrics })
}

/** What tasks leave is kept soon after their end: until then only a worker of their storage can show it. */
function startKeeper({ keep, ledger, name, log }: WorkerDeps, clock: RedisClock, { kept, keptBytes }: WorkerMetrics): { stop(): Promise<unknown> } {
  if (keep === undefined) return { stop: () => Promise.resolve() }
  const onKept = (bytes: number) => {
    kept.inc()
    keptBytes.inc(bytes)
  }
  const round = createKeeper({ ...keep, ledger, name, clock, log, onKept })
  const rounds = keepRounds({ everyMs: KEEP_MS, round, log, failing: 'what tasks left could not be kept' })
  return { stop: async () => {
    await rounds.stop()
    await round(AbortSignal.timeout(LAST_KEEP_MS))
  } }
}

interface Parts { clock: RedisClock; board: ModeBoard; drain: Drain; heartbeats: Heartbeats; onRequeued: () => void }

function runDepsOf({ redis, deployment, ledger, doorbell, name, log, registry, storageId, outgrown, keep, settings }: WorkerDeps, { clock, board, drain, heartbeats, onRequeued }: Parts): RunTaskDeps {
  const { isAlive, hasSuccessor } = findSuccessors({ heartbeats, engines: () => listEngines(redis, deployment), self: name, announcedAt: drain.announcedAt })
  return {
    ledger, doorbell, clock, log, worker: name, metrics: createWorkerMetrics(registry), onRequeued, chance: Math.random,
    retryDelayMs: settings.retryDelayMs, poisonLimit: settings.poisonLimit ?? DEFAULT_POISON_LIMIT, suspects: createSuspects(), agentsDay: settings.agentsDay, inputs: { ...DEFAULT_INPUT_RULES, ...settings.inputs }, outgrown, sizeEveryMs: settings.sizeEveryMs,
    output: keep, storageId, engines: { ownId: board.engineOf, isAlive }, hasSuccessor, place: board,
    get handover() {
      return drain.handover()
    },
  }
}

function describe({ name, host, version, storageId, filesUrl, settings }: WorkerDeps, now: { startedAt: number; running: number; draining: boolean; modes: ModeReport[] }): Heartbeat {
  const { startedAt, running, draining, modes } = now
  return { v: 1, name, host, version, started_at: startedAt, slots: settings.concurrency, running, draining, ...(storageId === undefined ? {} : { storage_id: storageId }), ...(filesUrl === undefined ? {} : { files_url: filesUrl }), modes }
}
