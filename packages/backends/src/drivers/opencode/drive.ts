import { setTimeout as delay } from 'node:timers/promises'
import { type ExecutionOutcome, type Failure, type RunContext, TaskFailure } from '@longshore/contracts'
import { refuseAsks } from './asks.ts'
import { createKick } from './kick.ts'
import type { LiveText } from './live-text.ts'
import { type Message, MessageError } from './message.ts'
import type { Patience } from './patience.ts'
import { isBefore } from './prompt.ts'
import { type SessionApi, statusOf } from './session-api.ts'
import type { SessionMirror } from './session-mirror.ts'
import { createStallWatch, type StallWatch } from './stall.ts'
import type { StreamEvent } from './stream.ts'
import { agrees, judge, type Verdict } from './verdict.ts'

// Events only kick a look; the truth is the session's status and its newest message, asked for twice unless that message is plainly the last.

/** Two looks this far apart must agree: an idle status comes before the error that belongs to it. */
const AGREE_MS = 300
/** Between two looks, however many events come: what a chatty model costs us is bounded by it. */
const MIN_GAP_MS = 150
/** A prompt that left no trace for this long was swallowed (a bad agent gives an error and no idle, ever). Seen between prompt and trace: 1.1 s. */
const PENDING_MS = 30_000
/** The same where the server may have been started again meanwhile, which ends a run without a trace. */
const PENDING_UNHEARD_MS = 10_000
/** For the abort of a session that has stalled; its place is disposed of anyway. */
const ABORT_TIMEOUT_MS = 15_000

export interface SessionRun {
  patience: Patience
  api: SessionApi
  sessionId: string
  /** The prompt of this run: a message before it says nothing about how this run ends. */
  prompt: string
  /** The stream is open since before the prompt: nothing it said of this run was missed. */
  wasHeard: boolean
  mirror: SessionMirror
  live: LiveText
  run: RunContext
  /** When a scan for changed files is due, in ms; undefined: none is. */
  scanDueInMs(): number | undefined
  /** Why the place is gone; undefined while it is alive. */
  autopsy(): Promise<Failure | undefined>
}

/** Judges a session until it is over. Its ears are fed by the event stream. */
export interface SessionDriver {
  hear(event: StreamEvent): void
  /** The stream is (again) connected: what happened before was not heard. */
  connected(): void
  /** Rejects only when the signal aborts or the claim is lost. */
  follow(): Promise<ExecutionOutcome>
}

interface Look { verdict: Verdict; messages: Message[] }
interface Ears { wantsAsks: boolean; wasHeard: boolean; lastError: MessageError | undefined; stall: StallWatch }

export function createSessionDriver(session: SessionRun): SessionDriver {
  const kick = createKick()
  const ears: Ears = { wantsAsks: true, wasHeard: session.wasHeard, lastError: undefined, stall: createStallWatch(session.patience, () => performance.now()) }
  return {
    hear: (event) => {
      session.live.hear(event)
      ears.stall.hear(event)
      if (event.type === 'session.error' && event.properties['sessionID'] === session.sessionId) ears.lastError = MessageError.safeParse(event.properties['error']).data
      if (event.type === 'permission.asked' || event.type === 'question.asked') ears.wantsAsks = true
      if (event.type !== 'server.heartbeat') kick.kick()
    },
    connected: () => {
      session.live.forget()
      ears.wasHeard = false
      ears.wantsAsks = true
      kick.kick()
    },
    follow: () => follow(session, ears, (ms) => kick.wait(ms, session.run.signal)),
  }
}

async function follow(session: SessionRun, ears: Ears, wait: (ms: number) => Promise<void>): Promise<ExecutionOutcome> {
  const clock: LoopClock = { reachedAt: performance.now(), isReached: true, pendingSince: undefined, askedAt: 0 }
  for (;;) {
    session.run.signal.throwIfAborted()
    const end = await round(session, ears, clock)
    if (end !== undefined) return end
    await wait(pauseMs(session, clock))
    await delay(MIN_GAP_MS)
  }
}

function pauseMs({ patience, scanDueInMs }: SessionRun, { isReached }: LoopClock): number {
  if (!isReached) return patience.retryDelayMs
  return Math.min(patience.lookEveryMs, scanDueInMs() ?? patience.lookEveryMs)
}

interface LoopClock { reachedAt: number; isReached: boolean; pendingSince: number | undefined; askedAt: number }

async function round(session: SessionRun, ears: Ears, clock: LoopClock): Promise<ExecutionOutcome | undefined> {
  const seen = await look(session, ears, clock.isReached)
  const now = performance.now()
  clock.isReached = !('error' in seen)
  if ('error' in seen) {
    const failure = (await session.autopsy()) ?? lostSession(seen.error, now - clock.reachedAt, session.patience.unreachableMs)
    return failure === undefined ? undefined : failedWith(session, failure)
  }
  clock.reachedAt = now
  await session.mirror.write(seen.messages, false)
  clock.pendingSince = seen.verdict.is === 'pending' ? (clock.pendingSince ?? now) : undefined
  const swallowed = clock.pendingSince === undefined ? undefined : swallowedPrompt(now - clock.pendingSince, ears)
  if (swallowed !== undefined) return failedWith(session, swallowed)
  if (ears.wantsAsks || now - clock.askedAt > session.patience.lookEveryMs) {
    ears.wantsAsks = false
    clock.askedAt = now
    await refuse(session)
  }
  if (seen.verdict.is === 'running') return stalled(session, ears, seen.messages)
  return seen.verdict.is === 'pending' ? undefined : confirm(session, ears, seen.verdict, seen.messages)
}

/** A finished message of an idle session is the last one. Of a failure the idle status may be seen before its cause. */
async function confirm(session: SessionRun, ears: Ears, first: Verdict, messages: readonly Message[]): Promise<ExecutionOutcome | undefined> {
  if (first.is === 'completed') return completed(session, messages)
  await delay(AGREE_MS)
  const second = await look(session, ears, true)
  if ('error' in second || !agrees(first, second.verdict)) return undefined
  if (second.verdict.is !== 'failed') return completed(session, second.messages)
  await session.mirror.write(second.messages, true)
  return failedWith(session, second.verdict.failure.toFailure())
}

async function completed(session: SessionRun, messages: readonly Message[]): Promise<ExecutionOutcome> {
  await session.mirror.write(messages, true)
  return { kind: 'completed', result: await session.mirror.result() }
}

/** Status first: when it says idle, the messages read after it are the last ones. A server that was away may be just about to listen, and never answers what is asked then: it is knocked at. */
async function look({ api, sessionId, prompt, mirror }: SessionRun, ears: Ears, wasReached: boolean): Promise<Look | { error: unknown }> {
  try {
    if (!wasReached) await api.health()
    const isBusy = await api.isBusy(sessionId)
    const messages = await mirror.read()
    const newest = messages.at(-1)
    return { verdict: judge(isBusy, newest === undefined || isBefore(newest, prompt) ? undefined : newest, ears.lastError), messages }
  } catch (error) {
    return { error }
  }
}

async function stalled(session: SessionRun, { stall }: Ears, messages: readonly Message[]): Promise<ExecutionOutcome | undefined> {
  stall.see(messages)
  const failure = stall.failure()
  if (failure === undefined) return undefined
  await session.run.confirmClaim()
  await session.api.abort(session.sessionId, ABORT_TIMEOUT_MS).catch((error: unknown) => session.run.log.debug({ err: error }, 'the stalled session did not abort'))
  const last = await session.mirror.read().catch(() => messages)
  await session.mirror.write(last, true)
  return failedWith(session, failure)
}

async function refuse({ api, sessionId, run, mirror }: SessionRun): Promise<void> {
  let events
  try {
    events = await refuseAsks(api, sessionId, () => run.confirmClaim())
  } catch (error) {
    run.log.debug({ err: error }, 'cannot refuse what the agent asks; tried again soon')
    return
  }
  await mirror.note(events)
}

async function failedWith(session: SessionRun, failure: Failure): Promise<ExecutionOutcome> {
  return { kind: 'failed', failure, result: await session.mirror.result() }
}

/** A prompt of which nothing is to be seen: never taken; or taken by a server that was started again since, where nothing else tells. */
function swallowedPrompt(pendingMs: number, { wasHeard }: Ears): Failure | undefined {
  if (pendingMs < (wasHeard ? PENDING_MS : PENDING_UNHEARD_MS)) return undefined
  if (wasHeard) return { code: 'agent_error', message: 'the agent never began to answer the prompt' }
  return { code: 'backend_lost', message: 'the OpenCode server was away, and does not work on the prompt' }
}

/** A place that is alive, and a session that is not there any more or a server that has not answered for too long. */
function lostSession(error: unknown, silentMs: number, unreachableMs: number): Failure | undefined {
  if (statusOf(error) === 404) return { code: 'backend_lost', message: 'the session is gone from the OpenCode server' }
  if (silentMs < unreachableMs) return undefined
  return new TaskFailure('backend_lost', `the OpenCode server has not answered for ${unreachableMs / 1000} s: ${String(error)}`).toFailure()
}
