import { type Job, Worker } from 'bullmq'
import type { Redis } from 'ioredis'

import type { DeploymentId, Log, Mode } from '@longshore/contracts'

import { queueKeys, queueName } from './names.ts'
import { keepLocks, type TicketLocks } from './ticket-locks.ts'

export type TicketJob = Job<unknown, null>
export interface Fetched { job: TicketJob; token: string }

/** What all lines of a mode have in common. `engineId`: the engine whose tickets may be taken besides those for anybody. */
export interface ModeGate { readonly mode: Mode; gate: Gate; engineId: string | undefined }
/** How many tickets may be in work at once; a new gate counts from 0, whatever was taken before it. */
export interface Gate { readonly limit: number; inWork: number }

/** One queue that tickets are taken from. `isWaiting`: it had nothing, and we will notice when there is something. */
export interface Line { of: ModeGate; engineId: string | undefined; worker: TicketWorker; locks: TicketLocks; isWaiting: boolean; tokens: number }

export interface LineOptions { redis: Redis; deployment: DeploymentId; name: string; log: Log; lockMs?: number; stalledIntervalMs?: number }

const DEFAULT_LOCK_MS = 5_000
const DEFAULT_STALLED_INTERVAL_MS = 1_000
/** A crash is never counted against a ticket: the ledger decides what a lost worker means. */
const MAX_STALLED_COUNT = 1_000_000
/** How long one blocking wait for a job lasts, in seconds; `stopTaking` waits for it. */
const BLOCK_S = 0.5

export class TicketWorker extends Worker<unknown, null> {
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

export function openLine(of: ModeGate, engineId: string | undefined, options: LineOptions): Line {
  const { redis, deployment, name, log, lockMs = DEFAULT_LOCK_MS, stalledIntervalMs = DEFAULT_STALLED_INTERVAL_MS } = options
  const queue = queueName(of.mode, engineId)
  const worker = new TicketWorker(queue, null, {
    connection: redis, prefix: queueKeys(deployment).prefix, name, autorun: false, drainDelay: BLOCK_S,
    lockDuration: lockMs, stalledInterval: stalledIntervalMs, maxStalledCount: MAX_STALLED_COUNT,
  })
  worker.on('error', (error) => log.debug({ reason: error.message, queue }, 'queue connection'))
  worker.on('stalled', (id) => log.info({ ticket: id, queue }, 'a ticket lost its worker and waits again'))
  worker.startStalledCheckTimer().catch((error: unknown) => log.error({ err: error }, 'stalled tickets are not looked for'))
  const locks = keepLocks({ lockMs, log, extend: (ids, tokens) => worker.extendJobLocks(ids, tokens, lockMs) })
  return { of, engineId, worker, locks, isWaiting: false, tokens: 0 }
}

/** Whether the line is for anybody, or for the engine that is reached now. */
export function isOfEngine({ of, engineId }: Line): boolean {
  return engineId === undefined || engineId === of.engineId
}

/** Whether one more ticket may be taken from this line. */
export function isOpen(line: Line): boolean {
  return line.of.gate.inWork < line.of.gate.limit && isOfEngine(line)
}

/** The next ticket of a line, if it has one. `block`: waits for one a moment. */
export async function fetchTicket(line: Line, block: boolean): Promise<Fetched | undefined> {
  const token = `${line.worker.id}:${line.tokens++}`
  // BullMQ's types promise a job; there may be none.
  const job = (await line.worker.getNextJob(token, { block })) as TicketJob | undefined
  return job === undefined ? undefined : { job, token }
}

export async function closeLine({ worker, locks }: Line, log: Log): Promise<void> {
  locks.stop()
  await worker.close(true).catch((error: unknown) => log.debug({ err: error }, 'queue connection'))
}
