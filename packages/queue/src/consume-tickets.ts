import { UnrecoverableError } from 'bullmq'
import type { Redis } from 'ioredis'

import { type DeploymentId, type Log, type Mode, type Ticket } from '@longshore/contracts'
import { keepRounds } from '@longshore/runtime'

import { queueKeys } from './names.ts'
import { createSlots, type Slots } from './slots.ts'
import { findTakeovers, isTakeover } from './takeovers.ts'
import { judgeJob } from './ticket-job.ts'
import { closeLine, type Fetched, fetchTicket, type Gate, isOfEngine, isOpen, type Line, type ModeGate, openLine } from './ticket-line.ts'

export interface ConsumeTicketsOptions {
  /** In the `background` role; stays the caller's. */
  redis: Redis
  deployment: DeploymentId
  /** Shown by BullMQ and Bull Board. */
  name: string
  modes: readonly Mode[]
  /** Tickets in work at once, over all modes. Takeovers may be as many more. */
  concurrency: number
  log: Log
  /**
   * Works on a ticket. `again`: the ticket goes back into the queue. `signal` aborts when the ticket may be another
   * worker's: then touch nothing and return. Throwing puts the ticket back, too, a little later: before all others, as its task may be begun.
   */
  handle: (ticket: Ticket, signal: AbortSignal) => Promise<'done' | 'again'>
  /** Default 5 s. */
  lockMs?: number
  /** Default 1 s. */
  stalledIntervalMs?: number
}

/** `one`: a single ticket at a time, until it is set to something else; those taken before do not count. */
export type Openness = boolean | 'one'

export interface TicketConsumer {
  /** Takes tickets of this mode, or leaves them to others; all modes begin closed. */
  setOpen(mode: Mode, openness: Openness): void
  /** Takes those tickets of the mode, too, that only workers of this engine get; undefined: no such ones. May change as often as engines do. */
  setEngine(mode: Mode, engineId: string | undefined): void
  running(): number
  /** Takes nothing more; what runs goes on under its locks. */
  stopTaking(): Promise<void>
  /** Resolves when nothing runs; meant for after `stopTaking`. */
  idle(): Promise<void>
  /** `stopTaking`, then waits for what runs. */
  stop(): Promise<void>
}

const HAND_BACK_MS = 1_000
const MAX_BATCH = 16
const ERROR_PAUSE_MS = 500
/** How often a worker without a free slot looks for what other workers left. */
const LOOK_MS = 1_000

/**
 * Takes tickets from a line per mode, and one more per mode whose engine is known, with one pool of slots; lines that
 * have work take turns, those of one mode too. BullMQ's own loop has a pool per queue, so its manual mode is used:
 * `getNextJob`, our renewal with a watchdog (ticket-locks.ts), `moveTo…`.
 *
 * What another worker left goes on without an owner, and its deadline comes nearer (G7): it waits neither behind a backlog nor
 * for a slot. Its ticket stands before all others; with no slot free it is looked for and taken beyond them. Nothing fresh is.
 */
export function consumeTickets(options: ConsumeTicketsOptions): TicketConsumer {
  const { log } = options
  const slots = createSlots(options.concurrency)
  const stopping = new AbortController()
  const running = new Set<Promise<void>>()
  const modes = new Map(options.modes.map((mode): [Mode, ModeGate] => [mode, { mode, gate: gateOf(false), engineId: undefined }]))
  const lines: Line[] = []
  const loops: Promise<void>[] = []
  // Whether what was asked for under this permit is still wanted: it may come after the mode was closed, or the engine changed.
  const isWanted = (line: Line, { gate }: Permit) => !stopping.signal.aborted && line.of.gate === gate && isOfEngine(line)
  // A slot goes on with its own line only while every other one waits for work: those that have it take turns.
  const mayGoOn = (line: Line, permit: Permit) => isWanted(line, permit) && permit.gate.limit === Infinity && !slots.isExceeded() && lines.every((other) => other === line || !isOpen(other) || other.isWaiting)

  const start = (line: Line, { permit, ...fetched }: Taken) => {
    const work = workThrough(line, fetched, { isWanted: () => isWanted(line, permit), mayGoOn: () => mayGoOn(line, permit) }, options).catch((error: unknown) => log.error({ err: error }, 'a ticket could not be handled')).finally(() => {
      running.delete(work)
      permit.release()
    })
    running.add(work)
  }
  const follow = (of: ModeGate, engineId?: string) => {
    const line = openLine(of, engineId, options)
    lines.push(line)
    loops.push(followLine({ line, slots, stopping: stopping.signal, start, log }))
  }
  for (const of of modes.values()) follow(of)
  const find = (open: readonly Line[]) => findTakeovers(options.redis, queueKeys(options.deployment), open)
  const takeovers = keepRounds({ everyMs: LOOK_MS, round: () => takeOver({ lines, slots, stopping: stopping.signal, start, find }), log, failing: 'takeovers could not be looked for' })

  const stopTaking = async () => {
    stopping.abort()
    slots.ring()
    await Promise.all([...loops, takeovers.stop()])
  }
  return {
    setOpen: (mode, openness) => {
      const [of, gate] = [modes.get(mode), gateOf(openness)]
      if (of === undefined || of.gate.limit === gate.limit) return
      of.gate = gate
      slots.ring()
    },
    setEngine: (mode, engineId) => {
      const of = modes.get(mode)
      if (of === undefined || of.engineId === engineId || stopping.signal.aborted) return
      of.engineId = engineId
      if (engineId !== undefined && !lines.some((line) => line.of === of && line.engineId === engineId)) follow(of, engineId)
      slots.ring()
    },
    running: () => running.size,
    stopTaking,
    idle: async () => void (await Promise.all(running)),
    stop: async () => {
      await stopTaking()
      await Promise.all(running)
      for (const line of lines) await closeLine(line, log)
    },
  }
}

function gateOf(openness: Openness): Gate {
  return { limit: openness === 'one' ? 1 : openness ? Infinity : 0, inWork: 0 }
}

/** A slot, and a place behind the gate that was there when it was given. */
interface Permit { gate: Gate; release: () => void }
interface Taken extends Fetched { permit: Permit }

function admit(line: Line, slots: Slots, isBeyond = false): Permit | undefined {
  const { gate } = line.of
  if (!isOpen(line) || !(isBeyond ? slots.takeBeyond() : slots.take())) return undefined
  gate.inWork += 1
  const release = () => {
    gate.inWork -= 1
    slots.release()
  }
  return { gate, release }
}

interface Following { line: Line; slots: Slots; stopping: AbortSignal; start: (line: Line, taken: Taken) => void; log: Log }

/** One line's loop: waits for a free slot, then for a job. */
async function followLine({ line, slots, stopping, start, log }: Following): Promise<void> {
  let isEmpty = false
  let batch = 1
  while (!stopping.aborted) {
    if (!isOpen(line) || !slots.isFree()) {
      await slots.change()
      continue
    }
    try {
      // With work waiting slots are taken first; on an empty queue one would only be blocked for the other lines.
      const found: Taken[] | 'nothing' = isEmpty ? await awaitJob(line, slots, stopping) : await fetchWithSlots(line, slots, batch)
      isEmpty = found === 'nothing'
      if (found === 'nothing') continue
      batch = found.length < batch ? 1 : Math.min(batch * 2, MAX_BATCH)
      for (const taken of found) start(line, taken)
    } catch (error) {
      log.debug({ err: error, queue: line.worker.name }, 'no ticket could be taken')
      await new Promise((resolve) => setTimeout(resolve, ERROR_PAUSE_MS))
    }
  }
}

/** Several at once: one after the other, the round trips would be what a busy worker waits for. */
async function fetchWithSlots(line: Line, slots: Slots, atMost: number): Promise<Taken[] | 'nothing'> {
  const permits: Permit[] = []
  for (let permit = admit(line, slots); permit !== undefined; permit = permits.length < atMost ? admit(line, slots) : undefined) permits.push(permit)
  const answers = await Promise.allSettled(permits.map(async (permit) => ({ permit, fetched: await fetchTicket(line, false) })))
  const found = answers.flatMap((answer) => (answer.status === 'fulfilled' && answer.value.fetched !== undefined ? [{ ...answer.value.fetched, permit: answer.value.permit }] : []))
  for (const permit of permits) if (!found.some((taken) => taken.permit === permit)) permit.release()
  const refused = answers.find((answer) => answer.status === 'rejected')
  if (found.length > 0) return found
  if (refused !== undefined) throw refused.reason
  return 'nothing'
}

/** Blocks without a slot; a job that comes when there is none left goes back to its place, and is fetched with a slot. */
async function awaitJob(line: Line, slots: Slots, stopping: AbortSignal): Promise<Taken[] | 'nothing'> {
  line.isWaiting = true
  const fetched = await fetchTicket(line, true).finally(() => { line.isWaiting = false })
  if (fetched === undefined) return 'nothing'
  const permit = stopping.aborted ? undefined : admit(line, slots)
  if (permit !== undefined) return [{ ...fetched, permit }]
  await fetched.job.moveToWait(fetched.token)
  return []
}

interface TakingOver extends Omit<Following, 'line' | 'log'> { lines: readonly Line[]; find: (open: readonly Line[]) => Promise<Line[]> }

/** One after the other, as long as there are any and room for them. While a slot is free their own lines find them at once. */
async function takeOver({ lines, slots, stopping, start, find }: TakingOver): Promise<void> {
  let isMore = true
  while (isMore && !stopping.aborted && !slots.isFree()) {
    const open = lines.filter(isOpen)
    isMore = false
    for (const line of open.length === 0 ? [] : await find(open)) {
      const taken = await fetchBeyond(line, slots)
      if (taken === undefined) continue
      start(line, taken)
      isMore = true
    }
  }
}

/** The takeover that was seen, unless another worker was faster: then what is fetched instead goes back to its place. */
async function fetchBeyond(line: Line, slots: Slots): Promise<Taken | undefined> {
  const permit = admit(line, slots, true)
  if (permit === undefined) return undefined
  const fetched = await fetchTicket(line, false).catch((error: unknown) => {
    permit.release()
    throw error
  })
  if (fetched !== undefined && isTakeover(fetched.job)) return { ...fetched, permit }
  permit.release()
  await fetched?.job.moveToWait(fetched.token)
  return undefined
}

interface Leave { isWanted: () => boolean; mayGoOn: () => boolean }

/** Works on a ticket, and on those that come with the end of each. */
async function workThrough(line: Line, first: Fetched, leave: Leave, options: ConsumeTicketsOptions): Promise<void> {
  let next: Fetched | undefined = first
  while (next !== undefined && leave.isWanted()) next = await workOn(line, next, leave, options)
  await next?.job.moveToWait(next.token)
}

async function workOn(line: Line, fetched: Fetched, leave: Leave, { handle, log }: ConsumeTicketsOptions): Promise<Fetched | undefined> {
  const { job, token } = fetched
  const judged = judgeJob(job.id, job.data)
  if (judged.kind === 'too_new') {
    await handBack(fetched, isTakeover(job))
    return undefined
  }
  if (judged.kind === 'refused') {
    log.warn({ job: job.id, queue: line.worker.name, reason: judged.reason }, 'refused a job that is no ticket')
    await job.moveToFailed(new UnrecoverableError(judged.reason), token)
    return undefined
  }
  const id = job.id ?? ''
  // Both times are this process's: the lock's age on the monotonic clock.
  const lost = line.locks.hold(id, token, Date.now() - (job.processedOn ?? Date.now()))
  const verdict = await handle(judged.ticket, lost).catch((error: unknown) => {
    if (!lost.aborted) log.error({ err: error, ticket: id }, 'a ticket could not be worked on; it goes back')
    return 'thrown' as const
  })
  if (lost.aborted) return undefined
  // From here on a renewal that finds the lock gone is no news.
  line.locks.drop(id)
  try {
    if (verdict === 'done') return await line.worker.complete(fetched, leave.mayGoOn)
    // We fetch no more of its kind, so it cannot go round and round.
    if (verdict === 'again' && !leave.isWanted()) await job.moveToWait(token)
    else await handBack(fetched, verdict === 'thrown' || isTakeover(job))
  } catch (error) {
    // The lock ran out in this very moment, or somebody removed the job: its task has an owner elsewhere, or the reconciler acts.
    log.info({ ticket: id, reason: error instanceof Error ? error.message : String(error) }, 'a ticket could not be closed')
  }
  return undefined
}

/**
 * Behind the others, and a second later: at once, with nobody else there, it would go round and round. BullMQ counts the
 * delay by the clock of whoever fetches next; as we are one of those, clocks that differ can only shorten it.
 * What may be begun is not to wait behind the others: its lock runs out, as if we had died, and it is a takeover at the head.
 */
async function handBack({ job, token }: Fetched, mayBeBegun: boolean): Promise<void> {
  if (mayBeBegun) await job.extendLock(token, HAND_BACK_MS)
  else await job.moveToDelayed(Date.now() + HAND_BACK_MS, token)
}
