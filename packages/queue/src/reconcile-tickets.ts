import type { Redis } from 'ioredis'

import { type DeploymentId, type Failure, type Log, MODES, type Ticket, type TimeLimit } from '@longshore/contracts'
import { keepRounds, type Rounds } from '@longshore/runtime'

import { type Engine, forgetEngine, listEngines, memberOf } from './engines.ts'
import { HEARTBEAT_TTL_MS } from './heartbeat.ts'
import { findLost, readGivenUp } from './lost-tickets.ts'
import { queueKeys, type QueueKeys, queueName } from './names.ts'

/** The part of the ledger that knows which tickets should be in the queue. */
export interface LiveTickets {
  liveTickets(after: string | undefined, limit: number): Promise<{ tickets: Ticket[]; overdue: (Ticket & { limit: TimeLimit })[]; next?: string }>
  /** The next ticket, unless the task is over or has moved on from `n`. */
  reissue(taskId: Ticket['task_id'], n: number): Promise<Ticket | undefined>
  /** The next ticket, for the workers of one engine or for all; undefined when somebody took the task meanwhile. */
  reroute(taskId: Ticket['task_id'], n: number, engineId: string | undefined): Promise<Ticket | undefined>
  /** Ends a task past its deadline or its time in the queue, unless somebody owns it. */
  timeoutUnowned(taskId: Ticket['task_id'], n: number): Promise<boolean>
  /** Answers, as the policies say, what nobody answered in time. How many. */
  answerExpired(limit: number): Promise<number>
  failUnowned(taskId: Ticket['task_id'], ticket: number, failure: Failure): Promise<unknown>
}

export interface ReconcileOptions {
  ledger: LiveTickets
  /** In the `background` role; stays the caller's. */
  redis: Redis
  deployment: DeploymentId
  /** Of this process; one per deployment scans at a time. */
  name: string
  log: Log
  /** A task has a new pending ticket: the dispatcher may look at once. */
  onReissued?: () => void
  /** Default 1 s. */
  everyMs?: number
}

/** Live tickets looked at per round: 100,000 queued tasks take 100 rounds, and never more memory than this. */
const BATCH = 1_000
const LEASE_ROUNDS = 5
/** A task that loses more tickets than any retry, handover or pause could use is ended: somebody deletes them as they come. */
const MAX_TICKETS = 1_000
/** A queue whose engine nobody speaks for stays so long for people to see; its tasks are elsewhere seconds after the silence began. */
const FORGET_ENGINE_MS = 60 * 60 * 1_000

/**
 * Nothing that happens in BullMQ leaves a task hanging (decision 2): a ticket that was deleted, failed or lost with its
 * queue is replaced by the task's next one, a deadline holds also while no worker takes the task (G9), and nobody waits for
 * an engine that is gone (decision 12). Two observations a round apart: a ticket may be on its way into the queue.
 */
export function reconcileTickets(options: ReconcileOptions): Rounds {
  const { log, everyMs = 1_000 } = options
  const keys = queueKeys(options.deployment)
  const scan: Scan = { suspects: [], cursor: undefined, events: new Map() }
  return keepRounds({
    everyMs, log, failing: 'lost tickets could not be looked for',
    round: async () => {
      if (await holdsLease(options, keys, everyMs * LEASE_ROUNDS)) await lookRound(options, keys, scan)
    },
  })
}

interface Scan { suspects: Ticket[]; cursor: string | undefined; events: ReadonlyMap<string, string> }

async function lookRound(options: ReconcileOptions, keys: QueueKeys, scan: Scan): Promise<void> {
  const { redis, deployment, ledger, log } = options
  const engines = await listEngines(redis, deployment)
  const queues = [...MODES.map((mode) => ({ mode, queue: queueName(mode), isSilent: false })), ...engines.map(({ mode, queue, silentMs }) => ({ mode, queue, isSilent: silentMs > HEARTBEAT_TTL_MS }))]
  for (const ticket of await findLost(redis, keys, scan.suspects, queues)) await replace(options, ticket)
  const given = await readGivenUp(redis, keys, queues, scan.events)
  scan.events = given.cursors
  // BullMQ itself said so, and the ledger checks the number: one observation is enough.
  for (const { task_id, n } of given.ids) await replace(options, { task_id, n })
  const { tickets, overdue, next } = await ledger.liveTickets(scan.cursor, BATCH)
  scan.cursor = next
  for (const { task_id, n, limit } of overdue) {
    if (await ledger.timeoutUnowned(task_id, n)) log.warn({ task_id, ticket: n, limit }, 'a time limit of a task passed while nobody ran it; it is over')
  }
  const unanswered = await ledger.answerExpired(BATCH)
  if (unanswered > 0) log.info({ unanswered }, 'questions that nobody answered in time are answered as the policies say')
  await freeStranded(options, tickets, engines)
  scan.suspects = await findLost(redis, keys, tickets, queues)
  for (const engine of engines.filter(({ silentMs }) => silentMs > FORGET_ENGINE_MS)) await forgetEngine(redis, keys, engine, FORGET_ENGINE_MS)
}

/** Tasks that wait for an engine of which nothing was heard for as long as a heartbeat lives are for everybody again. */
async function freeStranded({ ledger, log, onReissued }: ReconcileOptions, tickets: readonly Ticket[], engines: readonly Engine[]): Promise<void> {
  const alive = new Set(engines.filter(({ silentMs }) => silentMs <= HEARTBEAT_TTL_MS).map(({ mode, engineId }) => memberOf(mode, engineId)))
  for (const { task_id, n, mode, engine_id } of tickets) {
    if (engine_id === undefined || alive.has(memberOf(mode, engine_id))) continue
    const next = await ledger.reroute(task_id, n, undefined)
    if (next === undefined) continue
    log.warn({ task_id, ticket: n, next: next.n, engine: engine_id }, 'no worker speaks for the engine that holds the execution of a task; any worker may go on with it')
    onReissued?.()
  }
}

async function replace({ ledger, log, onReissued }: ReconcileOptions, { task_id, n }: Pick<Ticket, 'task_id' | 'n'>): Promise<void> {
  // One that is still to come is not lost, whatever its number: the ledger knows.
  const next = await ledger.reissue(task_id, n)
  if (next === undefined) return
  if (next.n > MAX_TICKETS) {
    await ledger.failUnowned(task_id, next.n, { code: 'ticket_lost', message: `the queue lost ${n} tickets of this task; nothing can run it` })
    return
  }
  log.warn({ task_id, ticket: n, next: next.n }, 'the queue lost a ticket; the task gets its next one')
  onReissued?.()
}

async function holdsLease({ redis, name }: ReconcileOptions, keys: QueueKeys, ms: number): Promise<boolean> {
  const taken = await redis.set(keys.scanLease, name, 'PX', ms, 'NX')
  if (taken !== null) return true
  if ((await redis.get(keys.scanLease)) !== name) return false
  // A lease that ran out just now may go to two for a round: reissuing is atomic, so that costs time only.
  // Not renewed more often than it must be: each write keeps everybody waiting for the disk.
  if ((await redis.pttl(keys.scanLease)) < ms / 2) await redis.pexpire(keys.scanLease, ms)
  return true
}
