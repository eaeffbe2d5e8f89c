import { setTimeout as delay } from 'node:timers/promises'
import { type AgentAsk, type AgentMessage, type ExecutionOutcome, type Failure, type RunContext, TaskFailure } from '@longshore/contracts'
import { createEnding, type Ending } from './ending.ts'
import { createKick } from './kick.ts'
import type { LiveText } from './live-text.ts'
import { type Message, MessageError } from './message.ts'
import type { Patience } from './patience.ts'
import { isBefore } from './prompt.ts'
import { type SessionApi, statusOf } from './session-api.ts'
import type { SessionMirror } from './session-mirror.ts'
import { createStallWatch, type StallWatch } from './stall.ts'
import { createSteering, type Steering, type Told } from './steer.ts'
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
/** How long a message may be there and the session idle, before it is said again: a server that looks for the last time does not see what is stored after that. */
const UNHEARD_MS = 2_000
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
  /** What an earlier owner told the session last. */
  told: Told | undefined
  /** Stores what is about to be told. Rejects when the claim is lost. */
  keepTold(told: Told): Promise<void>
  /** What the session family waits for. */
  asks: { list(): Promise<AgentAsk[]> }
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
  tell(message: AgentMessage): Promise<'delivered' | 'over'>
}

/** `version`: of the ending, before it was begun. */
interface Look { verdict: Verdict; messages: Message[]; version: number }
interface Steered extends SessionRun { ending: Ending; steering: Steering }
interface Ears { wantsAsks: boolean; wasHeard: boolean; lastError: MessageError | undefined; stall: StallWatch }

export function createSessionDriver(run: SessionRun): SessionDriver {
  const kick = createKick()
  const now = (): number => performance.now()
  const ending = createEnding(now, kick.kick)
  const steering = createSteering({ ...run, keep: run.keepTold, ending, now })
  const session: Steered = { ...run, ending, steering }
  const ears: Ears = { wantsAsks: true, wasHeard: session.wasHeard, lastError: undefined, stall: createStallWatch(session.patience, () => performance.now()) }
  return {
    hear: (event) => {
      session.live.hear(event)
      ears.stall.hear(event)
      if (event.type === 'session.error' && event.properties['sessionID'] === session.sessionId) ears.lastError = MessageError.safeParse(event.properties['error']).data
      if (event.type.startsWith('permission.') || event.type.startsWith('question.')) ears.wantsAsks = true
      if (event.type !== 'server.heartbeat') kick.kick()
    },
    connected: () => {
      session.live.forget()
      ears.wasHeard = false
      ears.wantsAsks = true
      kick.kick()
    },
    follow: () => follow(session, ears, (ms) => kick.wait(ms, session.run.signal)),
    tell: steering.tell,
  }
}

async function follow(session: Steered, ears: Ears, wait: (ms: number) => Promise<void>): Promise<ExecutionOutcome> {
  const clock: LoopClock = { reachedAt: performance.now(), isReached: true, pendingSince: undefined, askedAt: 0, saidAt: 0 }
  for (;;) {
    session.run.signal.throwIfAborted()
    const end = await round(session, ears, clock)
    if (end !== undefined) return end
    await wait(pauseMs(session, clock))
    await delay(MIN_GAP_MS)
  }
}

function pauseMs({ patience, scanDueInMs }: SessionRun, { isReached, pendingSince }: LoopClock): number {
  if (!isReached) return patience.retryDelayMs
  if (pendingSince !== undefined) return Math.min(patience.lookEveryMs, UNHEARD_MS)
  return Math.min(patience.lookEveryMs, scanDueInMs() ?? patience.lookEveryMs)
}

interface LoopClock { reachedAt: number; isReached: boolean; pendingSince: number | undefined; askedAt: number; saidAt: number }

async function round(session: Steered, ears: Ears, clock: LoopClock): Promise<ExecutionOutcome | undefined> {
  const seen = await look(session, ears, clock.isReached)
  const now = performance.now()
  clock.isReached = !('error' in seen)
  if ('error' in seen) {
    const failure = (await session.autopsy()) ?? lostSession(seen.error, now - clock.reachedAt, session.patience.unreachableMs)
    return failure === undefined ? undefined : failedWith(session, failure)
  }
  session.ending.see(seen.messages)
  clock.reachedAt = now
  await session.mirror.write(seen.messages, false)
  clock.pendingSince = seen.verdict.is === 'pending' || seen.verdict.is === 'unheard' ? (clock.pendingSince ?? now) : undefined
  const lost = clock.pendingSince === undefined ? undefined : swallowed(seen.verdict, now - clock.pendingSince, ears)
  if (lost !== undefined) return failedWith(session, lost)
  if (ears.wantsAsks || now - clock.askedAt > session.patience.lookEveryMs) {
    ears.wantsAsks = false
    clock.askedAt = now
    await attendAsks(session, ears)
  }
  switch (seen.verdict.is) {
    case 'running': return stalled(session, ears, seen.messages)
    case 'pending': return undefined
    case 'unheard': return sayAgain(session, clock, seen.verdict.message)
    // A finished message of an idle session is the last one, unless somebody says something.
    case 'completed': return session.ending.mayEnd(seen.version) ? completed(session, seen.messages) : undefined
    case 'failed': return confirm(session, ears, seen.verdict)
  }
}

/** Of a failure the idle status may be seen before its cause. */
async function confirm(session: Steered, ears: Ears, first: Verdict): Promise<ExecutionOutcome | undefined> {
  await delay(AGREE_MS)
  const second = await look(session, ears, true)
  if ('error' in second || second.verdict.is !== 'failed' || !agrees(first, second.verdict)) return undefined
  session.ending.end()
  await session.mirror.write(second.messages, true)
  return failedWith(session, second.verdict.failure.toFailure())
}

/** The same ids and the same text: the server keeps the message that it has, and its agent goes on with it. Only what we told: whatever else came there is not ours to repeat. */
async function sayAgain({ api, sessionId, run, steering }: Steered, clock: LoopClock, { info, parts }: Message): Promise<undefined> {
  const text = parts.find((part) => part.type === 'text')
  const now = performance.now()
  if (info.id !== steering.told()?.message || text === undefined || now - Math.max(clock.pendingSince ?? now, clock.saidAt) < UNHEARD_MS) return
  clock.saidAt = now
  await run.confirmClaim()
  await api.prompt(sessionId, info.id, text.id, text.text).catch((error: unknown) => run.log.debug({ err: error }, 'cannot say a message again; tried again soon'))
}

async function completed(session: SessionRun, messages: readonly Message[]): Promise<ExecutionOutcome> {
  await session.mirror.write(messages, true)
  return { kind: 'completed', result: await session.mirror.result() }
}

/** Status first: when it says idle, the messages read after it are the last ones. A server that was away may be just about to listen, and never answers what is asked then: it is knocked at. */
async function look({ api, sessionId, prompt, mirror, ending, steering }: Steered, ears: Ears, wasReached: boolean): Promise<Look | { error: unknown }> {
  const version = ending.version()
  try {
    if (!wasReached) await api.health()
    const isBusy = await api.isBusy(sessionId)
    const messages = await mirror.read()
    return { verdict: judge(isBusy, messages.filter((message) => !isBefore(message, prompt)), ears.lastError, steering.told()?.message), messages, version }
  } catch (error) {
    return { error }
  }
}

async function stalled(session: Steered, { stall }: Ears, messages: readonly Message[]): Promise<ExecutionOutcome | undefined> {
  stall.see(messages)
  const failure = stall.failure()
  if (failure === undefined) return undefined
  session.ending.end()
  await session.run.confirmClaim()
  await session.api.abort(session.sessionId, ABORT_TIMEOUT_MS).catch((error: unknown) => session.run.log.debug({ err: error }, 'the stalled session did not abort'))
  const last = await session.mirror.read().catch(() => messages)
  await session.mirror.write(last, true)
  return failedWith(session, failure)
}

/** Who waits for an answer shows no sign of life, and has not stalled. */
async function attendAsks({ asks, run }: SessionRun, ears: Ears): Promise<void> {
  let waiting
  try {
    waiting = await asks.list()
  } catch (error) {
    run.log.debug({ err: error }, 'cannot see what the agent asks; looked for again soon')
    return
  }
  ears.stall.waits(waiting.length > 0)
  await run.onAsks(waiting)
}

async function failedWith(session: Steered, failure: Failure): Promise<ExecutionOutcome> {
  session.ending.end()
  return { kind: 'failed', failure, result: await session.mirror.result() }
}

/** A prompt of which nothing is to be seen: never taken; or taken by a server that was started again since, where nothing else tells. */
function swallowed(verdict: Verdict, pendingMs: number, { wasHeard }: Ears): Failure | undefined {
  if (pendingMs < (wasHeard ? PENDING_MS : PENDING_UNHEARD_MS)) return undefined
  if (verdict.is === 'unheard') return { code: 'backend_lost', message: 'the agent does not go on with what it was told' }
  if (wasHeard) return { code: 'agent_error', message: 'the agent never began to answer the prompt' }
  return { code: 'backend_lost', message: 'the OpenCode server was away, and does not work on the prompt' }
}

/** A place that is alive, and a session that is not there any more or a server that has not answered for too long. */
function lostSession(error: unknown, silentMs: number, unreachableMs: number): Failure | undefined {
  if (statusOf(error) === 404) return { code: 'backend_lost', message: 'the session is gone from the OpenCode server' }
  if (silentMs < unreachableMs) return undefined
  return new TaskFailure('backend_lost', `the OpenCode server has not answered for ${unreachableMs / 1000} s: ${String(error)}`).toFailure()
}
