import { type Job, UnrecoverableError, Worker } from 'bullmq'
import type { Redis } from 'ioredis'

import { type DeploymentId, type Log, type Mode, type Ticket } from '@longshore/contracts'

import { queueKeys, queueName } from './names.ts'
import { createSlots, type Slots } from './slots.ts'
import { judgeJob } from './ticket-job.ts'
import { keepLocks, type TicketLocks } from './ticket-locks.ts'

export interface ConsumeTicketsOptions {
  /** In the `background` role; stays the caller's. */
  redis: Redis
  deployment: DeploymentId
  /** Shown by BullMQ and Bull Board. */
  name: string
  modes: readonly Mode[]
  /** Tickets in work at once, over all modes. */
  concurrency: number
  log: Log
  /**
   * Works on a ticket. `again`: the ticket goes back into the queue. `signal` aborts when the ticket may be another
   * worker's: then touch nothing and return. Throwing puts the ticket back, too, a little later.
   */
  handle: (ticket: Ticket, signal: AbortSignal) => Promise<'done' | 'again'>
  /** Default 5 s. */
  lockMs?: number
  /** Default 1 s. */
  stalledIntervalMs?: number
}

export interface TicketConsumer {
  /** Takes tickets of this mode, or leaves them to others; all modes begin closed. */
  setOpen(mode: Mode, isOpen: boolean): void
  running(): number
  /** Takes nothing more; what runs goes on under its locks. */
  stopTaking(): Promise<void>
  /** Resolves when nothing runs; meant for after `stopTaking`. */
  idle(): Promise<void>
  /** `stopTaking`, then waits for what runs. */
  stop(): Promise<void>
}

const DEFAULT_LOCK_MS = 5_000
const DEFAULT_STALLED_INTERVAL_MS = 1_000
/** A crash is never counted against a ticket: the ledger decides what a lost worker means. */
const MAX_STALLED_COUNT = 1_000_000
/** How long one blocking wait for a job lasts, in seconds; `stopTaking` waits for it. */
const BLOCK_S = 0.5
const HAND_BACK_MS = 1_000
const MAX_BATCH = 16
const ERROR_PAUSE_MS = 500

type TicketJob = Job<unknown, null>

/**
 * Takes tickets from the queues of several modes with one pool of slots. BullMQ's own loop has a pool per queue, so its
 * manual mode is used: `getNextJob`, our renewal with a watchdog (ticket-locks.ts), `moveTo…`.
 */
export function consumeTickets(options: ConsumeTicketsOptions): TicketConsumer {
  const { lockMs = DEFAULT_LOCK_MS, log } = options
  const slots = createSlots(options.concurrency)
  const stopping = new AbortController()
  const running = new Set<Promise<void>>()
  const lines = options.modes.map((mode) => openLine(mode, lockMs, options))
  const lineOf = (mode: Mode) => lines.find((line) => line.mode === mode)
  // A slot goes on with its own mode only while every other one waits for work: those that have it take turns.
  const mayGoOn = (line: Line) => !stopping.signal.aborted && line.isOpen && lines.every((other) => other === line || !other.isOpen || other.isWaiting)

  const start = (line: Line, fetched: Fetched) => {
    const work = workThrough(line, fetched, () => mayGoOn(line), options).catch((error: unknown) => log.error({ err: error }, 'a ticket could not be handled')).finally(() => {
      running.delete(work)
      slots.release()
    })
    running.add(work)
  }
  const loops = lines.map((line) => follow({ line, slots, stopping: stopping.signal, start, log }))

  const stopTaking = async () => {
    stopping.abort()
    slots.ring()
    await Promise.all(loops)
  }
  return {
    setOpen: (mode, isOpen) => {
      const line = lineOf(mode)
      if (line === undefined || line.isOpen === isOpen) return
      line.isOpen = isOpen
      slots.ring()
    },
    running: () => running.size,
    stopTaking,
    idle: async () => void (await Promise.all(running)),
    stop: async () => {
      await stopTaking()
      await Promise.all(running)
      for (const line of lines) {
        line.locks.stop()
        await line.worker.close(true).catch((error: unknown) => log.debug({ err: error }, 'queue connection'))
      }
    },
  }
}

/** `isWaiting`: its queue had nothing, and it will notice when there is something. */
interface Line { mode: Mode; worker: TicketWorker; locks: TicketLocks; isOpen: boolean; isWaiting: boolean; tokens: number }
interface Fetched { job: TicketJob; token: string }

class TicketWorker extends Worker<unknown, null> {
  /** With a delayed job in the queue BullMQ would block for up to 10 s, and nothing could be stopped meanwhile. */
  override get maximumBlockTimeout(): number {
    return BLOCK_S
  }

  /** One step ends a job and takes the next, if one is wanted and there: a busy worker needs no round trip to fetch. */
  async complete({ job, token }: Fetched, wantsNext: () => boolean): Promise<Fetched | undefined> {
    // BullMQ's types promise a job; there may be none.
    const next = (await this.handleCompleted(null, job, token, wantsNext)) as TicketJob | undefined
    return next === undefined ? undefined : { job: next, token }
  }
}

function openLine(mode: Mode, lockMs: number, { redis, deployment, name, log, stalledIntervalMs = DEFAULT_STALLED_INTERVAL_MS }: ConsumeTicketsOptions): Line {
  const worker = new TicketWorker(queueName(mode), null, {
    connection: redis, prefix: queueKeys(deployment).prefix, name, autorun: false, drainDelay: BLOCK_S,
    lockDuration: lockMs, stalledInterval: stalledIntervalMs, maxStalledCount: MAX_STALLED_COUNT,
  })
  worker.on('error', (error) => log.debug({ reason: error.message, mode }, 'queue connection'))
  worker.on('stalled', (id) => log.info({ ticket: id, mode }, 'a ticket lost its worker and waits again'))
  worker.startStalledCheckTimer().catch((error: unknown) => log.error({ err: error }, 'stalled tickets are not looked for'))
  const locks = keepLocks({ lockMs, log, extend: (ids, tokens) => worker.extendJobLocks(ids, tokens, lockMs) })
  return { mode, worker, locks, isOpen: false, isWaiting: false, tokens: 0 }
}

interface Following { line: Line; slots: Slots; stopping: AbortSignal; start: (line: Line, fetched: Fetched) => void; log: Log }

/** One mode's loop: waits for a free slot, then for a job. */
async function follow({ line, slots, stopping, start, log }: Following): Promise<void> {
  let isEmpty = false
  let batch = 1
  while (!stopping.aborted) {
    if (!line.isOpen || !slots.isFree()) {
      await slots.change()
      continue
    }
    try {
      // With work waiting slots are taken first; on an empty queue one would only be blocked for the other modes.
      const found: Fetched[] | 'nothing' = isEmpty ? await awaitJob(line, slots, stopping) : await fetchWithSlots(line, slots, batch)
      isEmpty = found === 'nothing'
      if (found === 'nothing') continue
      batch = found.length < batch ? 1 : Math.min(batch * 2, MAX_BATCH)
      for (const fetched of found) start(line, fetched)
    } catch (error) {
      log.debug({ err: error, mode: line.mode }, 'no ticket could be taken')
      await new Promise((resolve) => setTimeout(resolve, ERROR_PAUSE_MS))
    }
  }
}

/** Several at once: one after the other, the round trips would be what a busy worker waits for. */
async function fetchWithSlots(line: Line, slots: Slots, atMost: number): Promise<Fetched[] | 'nothing'> {
  let taken = 0
  while (taken < atMost && slots.take()) taken += 1
  const answers = await Promise.allSettled(Array.from({ length: taken }, () => fetch(line, false)))
  const found = answers.map((answer) => (answer.status === 'fulfilled' ? answer.value : undefined)).filter((fetched) => fetched !== undefined)
  for (let spare = taken - found.length; spare > 0; spare--) slots.release()
  const refused = answers.find((answer) => answer.status === 'rejected')
  if (found.length > 0) return found
  if (refused !== undefined) throw refused.reason
  return 'nothing'
}

/** Blocks without a slot; a job that comes when there is none left goes back to its place, and is fetched with a slot. */
async function awaitJob(line: Line, slots: Slots, stopping: AbortSignal): Promise<Fetched[] | 'nothing'> {
  line.isWaiting = true
  const fetched = await fetch(line, true).finally(() => { line.isWaiting = false })
  if (fetched === undefined) return 'nothing'
  if (!stopping.aborted && line.isOpen && slots.take()) return [fetched]
  await fetched.job.moveToWait(fetched.token)
  return []
}

async function fetch(line: Line, block: boolean): Promise<Fetched | undefined> {
  const token = `${line.worker.id}:${line.tokens++}`
  // BullMQ's types promise a job; there may be none.
  const job = (await line.worker.getNextJob(token, { block })) as TicketJob | undefined
  return job === undefined ? undefined : { job, token }
}

/** Works on a ticket, and on those that come with the end of each. */
async function workThrough(line: Line, first: Fetched, mayGoOn: () => boolean, options: ConsumeTicketsOptions): Promise<void> {
  for (let next: Fetched | undefined = first; next !== undefined;) next = await workOn(line, next, mayGoOn, options)
}

async function workOn(line: Line, fetched: Fetched, mayGoOn: () => boolean, { handle, log }: ConsumeTicketsOptions): Promise<Fetched | undefined> {
  const { job, token } = fetched
  const judged = judgeJob(job.id, job.data)
  if (judged.kind === 'too_new') {
    await job.moveToDelayed(Date.now() + HAND_BACK_MS, token)
    return undefined
  }
  if (judged.kind === 'refused') {
    log.warn({ job: job.id, mode: line.mode, reason: judged.reason }, 'refused a job that is no ticket')
    await job.moveToFailed(new UnrecoverableError(judged.reason), token)
    return undefined
  }
  const id = job.id ?? ''
  // Both times are this process's: the lock's age on the monotonic clock.
  const lost = line.locks.hold(id, token, Date.now() - (job.processedOn ?? Date.now()))
  const verdict = await handle(judged.ticket, lost).catch((error: unknown) => {
    if (!lost.aborted) log.error({ err: error, ticket: id }, 'a ticket could not be worked on; it goes back')
    return 'again' as const
  })
  if (lost.aborted) return undefined
  // From here on a renewal that finds the lock gone is no news.
  line.locks.drop(id)
  try {
    if (verdict === 'done') return await line.worker.complete(fetched, mayGoOn)
    await job.moveToDelayed(Date.now() + HAND_BACK_MS, token)
  } catch (error) {
    // The lock ran out in this very moment, or somebody removed the job: its task has an owner elsewhere, or the reconciler acts.
    log.info({ ticket: id, reason: error instanceof Error ? error.message : String(error) }, 'a ticket could not be closed')
  }
  return undefined
}
