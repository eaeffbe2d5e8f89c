import { fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openStorage } from '@longshore/backends'
import { openSharedDirectory } from '@longshore/blobs'
import { waitFor } from '@longshore/testkit'
import type { Redis } from 'ioredis'

import { type AnyEvent, type Backend, isOver, NewTask, SILENT, START, type Task, type TaskId, taskIdFrom } from '@longshore/contracts'
import { createDoorbell, createLedger, type Ledger } from '@longshore/ledger'
import { createHeartbeats, createTicketProducer, type TicketProducer } from '@longshore/queue'
import { connectRedis, createMetrics } from '@longshore/runtime'

import { createWorker, type RunningWorker, type WorkerSettings } from '../create-worker.ts'
import type { Outgrown } from '../watch-size.ts'
import { createShellBackend } from './shell-backend.ts'

const SETTINGS: WorkerSettings = { concurrency: 3, lockMs: 5_000, stalledIntervalMs: 1_000, drainGraceMs: 0, retryDelayMs: 50 }

/** What a worker child process needs to know. */
export interface ChildConfig extends WorkerPlace, Suspension { redisUrl: string; deployment: string; root: string; name: string }
/** What its backends' handles name, and what it says of itself. */
export interface WorkerPlace { engineId?: string; storageId?: string; keeping?: Keeping }
/** With a storage of its own in the stack's root, whose id is named in place of `storageId`. */
export interface Keeping { maxBytes: number }
/** The calls of its backends before which a worker process stops as by SIGSTOP. */
export interface Suspension { suspendIn?: 'checkpoint' | 'dispose' }

/** A deployment of its own on a real Redis, with as many workers as a test starts. */
export interface TestStack {
  redisUrl: string
  deployment: string
  root: string
  redis: Redis
  ledger: Ledger
  producer: TicketProducer
  submit(prompt: string, more?: Partial<NewTask>): Promise<Task>
  worker(more?: Partial<WorkerSettings> & WorkerPlace & { name?: string; backends?: Backend[]; outgrown?: Outgrown }): Promise<RunningWorker>
  /** A worker in a process of its own, to be killed. */
  workerProcess(name: string, more?: WorkerPlace & Suspension): Promise<{ pid: number; kill(signal: NodeJS.Signals): void; exited: Promise<number | null> }>
  /** Others know of these workers, and of all their modes: before that, nothing is left to them. */
  untilThere(...names: string[]): Promise<void>
  get(id: TaskId): Promise<Task>
  events(id: TaskId): Promise<AnyEvent[]>
  types(id: TaskId): Promise<string[]>
  until(id: TaskId, state: Task['state'], timeoutMs?: number): Promise<Task>
  untilOver(id: TaskId, timeoutMs?: number): Promise<Task>
  stop(): Promise<void>
}

/** A worker's parts as `main.ts` would build them, around the shell backend. */
export async function startTestWorker(config: ChildConfig, more: Partial<WorkerSettings> & { backends?: Backend[]; outgrown?: Outgrown } = {}): Promise<RunningWorker> {
  const { redisUrl, deployment, root, name, keeping, ...named } = config
  const storage = keeping === undefined ? undefined : await openStorage(join(root, 'storage'))
  const place = storage === undefined ? named : { ...named, storageId: storage.id }
  const { backends = [createShellBackend('docker', root, place), createShellBackend('opencode', root, place)], outgrown, ...settings } = more
  const [redis, bells] = [connectRedis(redisUrl, 'background', SILENT), connectRedis(redisUrl, 'background', SILENT)]
  const producer = createTicketProducer({ redisUrl, deployment, log: SILENT })
  const worker = await createWorker({
    redis, ledger: createLedger({ redis, deployment, log: SILENT }), doorbell: createDoorbell(bells, deployment), producer, backends,
    deployment, name, host: 'here', version: '0', ...(place.storageId === undefined ? {} : { storageId: place.storageId }), ...(storage === undefined || keeping === undefined ? {} : { keep: { storage, store: openSharedDirectory(join(root, 'blobs')), maxBytes: keeping.maxBytes } }), log: SILENT, ...(outgrown === undefined ? {} : { outgrown }), registry: createMetrics('worker'), settings: { ...SETTINGS, ...settings },
  })
  return {
    status: worker.status,
    stop: async () => {
      await worker.stop()
      await producer.close()
      for (const connection of [redis, bells]) connection.disconnect()
    },
  }
}

export async function startStack(redisUrl: string): Promise<TestStack> {
  const deployment = `t-${randomBytes(6).toString('hex')}`
  const root = await mkdtemp(join(tmpdir(), 'longshore-worker-'))
  const redis = connectRedis(redisUrl, 'background', SILENT)
  const ledger = createLedger({ redis, deployment, log: SILENT })
  const producer = createTicketProducer({ redisUrl, deployment, log: SILENT })
  await waitFor(() => producer.time(), { what: 'Redis' })
  const stops: (() => Promise<unknown>)[] = []
  return {
    redisUrl, deployment, root, redis, ledger, producer,
    ...readers(ledger),
    ...starters({ redisUrl, deployment, root }, stops),
    submit: async (prompt, more = {}) => {
      const { task, ticket } = await ledger.submit(NewTask.parse({ id: taskIdFrom(randomBytes(52)), agent_id: 'agent-a', prompt, title: 'a task', mode: 'docker', ...more }))
      if (ticket !== undefined) {
        await producer.add(ticket)
        await ledger.ticketAdded(ticket)
      }
      return task
    },
    untilThere: async (...names) => {
      await waitFor(async () => {
        const workers = await createHeartbeats(redis, deployment).list()
        return names.every((name) => workers.some((worker) => worker.name === name && worker.modes.every(({ ok }) => ok)))
      }, { what: `${names.join(' and ')} to take tasks` })
    },
    stop: async () => {
      for (const stop of stops.toReversed()) await stop()
      await producer.close()
      redis.disconnect()
      await rm(root, { recursive: true, force: true })
    },
  }
}

function readers(ledger: Ledger): Pick<TestStack, 'get' | 'events' | 'types' | 'until' | 'untilOver'> {
  const get = async (id: TaskId) => {
    const task = await ledger.get(id)
    if (task === undefined) throw new Error(`no task ${id}`)
    return task
  }
  const events = async (id: TaskId) => {
    const page = await ledger.read(id, START, 10_000)
    return page?.kind === 'events' ? page.events : []
  }
  const untilState = (id: TaskId, isIt: (state: Task['state']) => boolean, what: string, timeoutMs = 60_000) => waitFor(async () => {
    const task = await get(id)
    return isIt(task.state) ? task : undefined
  }, { what: `${id} to be ${what}`, timeoutMs })
  return {
    get, events,
    types: async (id) => (await events(id)).map(({ type }) => type),
    until: (id, state, timeoutMs) => untilState(id, (is) => is === state, state, timeoutMs),
    untilOver: (id, timeoutMs) => untilState(id, isOver, 'over', timeoutMs),
  }
}

function starters(config: Omit<ChildConfig, 'name'>, stops: (() => Promise<unknown>)[]): Pick<TestStack, 'worker' | 'workerProcess'> {
  let workers = 0
  return {
    worker: async ({ name = `worker-${++workers}`, engineId, storageId, keeping, ...more } = {}) => {
      const worker = await startTestWorker({ ...config, name, ...(engineId === undefined ? {} : { engineId }), ...(storageId === undefined ? {} : { storageId }), ...(keeping === undefined ? {} : { keeping }) }, more)
      let stopped: Promise<void> | undefined
      const stop = () => (stopped ??= worker.stop())
      stops.push(stop)
      return { status: worker.status, stop }
    },
    workerProcess: async (name, more = {}) => {
      const child = fork(new URL('worker-process.ts', import.meta.url), [JSON.stringify({ ...config, ...more, name } satisfies ChildConfig)], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
      const exited = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)))
      stops.push(async () => {
        child.kill('SIGKILL')
        await exited
      })
      await new Promise((resolve) => child.once('message', resolve))
      return { pid: child.pid ?? 0, kill: (signal) => void child.kill(signal), exited }
    },
  }
}
