import { setTimeout as delay } from 'node:timers/promises'
import { methods } from '@agentclientprotocol/sdk'
import { type ExecutionOutcome, type Failure, type PermissionPolicy, type RunContext, TaskFailure } from '@longshore/contracts'
import { createAsks } from './asks.ts'
import { converse, type Plan } from './converse.ts'
import { failureOfStop } from './ending.ts'
import type { AcpMirror } from './mirror.ts'
import type { AgentEnding, AgentPipe } from './pipe.ts'
import { createReader, type PipeReader, readOn } from './read.ts'
import { createSender } from './sender.ts'
import { createWire } from './wire.ts'

const WATCH_MS = 1_000

export interface AcpRun {
  pipe: AgentPipe
  plan: Plan
  mirror: AcpMirror
  run: RunContext
  /** What the agent may do without asking. */
  layers: readonly PermissionPolicy[]
  clean(text: string): string
  /** As STALL_MS and STALL_TOOL_MS have it. */
  patience: { stallMs: number; stallToolMs: number }
}

/** Has the conversation, and mirrors what the agent says, until it is over. Rejects only when the signal aborts or the claim is lost. */
export async function driveAcp({ pipe, plan, mirror, run, layers, clean, patience }: AcpRun): Promise<ExecutionOutcome> {
  const over = new AbortController()
  const signal = AbortSignal.any([run.signal, over.signal])
  const sender = createSender(pipe, run, plan.prompt === undefined ? methods.agent.session.prompt : undefined)
  const wire = createWire(sender)
  let lastSign = performance.now()
  const sign = (): void => {
    lastSign = performance.now()
  }
  const asks = createAsks({ pipeId: pipe.id, layers, cwd: plan.cwd, sender, run, clean, changed: sign })
  const reader = createReader(mirror, plan.session !== undefined, {
    noted: sender.noted,
    heard: (message) => {
      sign()
      asks.heard(message)
      wire.heard(message)
    },
  })
  const reading = readOn(pipe, reader, mirror, signal)
  const parts = [
    converse(wire.stream, plan, asks),
    reading,
    // Who waits for an answer shows no sign of life, and has not stalled.
    whenStalled(() => (asks.isWaiting() ? undefined : stallOf(patience, performance.now() - lastSign, mirror.isToolRunning())), signal),
    asks.tellOn(signal),
    whenAborted(run.signal),
  ] as const
  for (const part of parts) part.catch(() => {}) // the race tells of the first only
  try {
    const first = await Promise.race(parts)
    run.signal.throwIfAborted()
    if ('stopReason' in first) {
      await mirror.end(first.answer)
      return outcomeOf(failureOfStop(first.stopReason)?.toFailure(), mirror)
    }
    if ('isAgents' in first) return await afterEnding(first, mirror, reader)
    return await outcomeOf(first.stalled, mirror)
  } catch (error) {
    run.signal.throwIfAborted()
    if (!(error instanceof TaskFailure)) throw error
    // What cannot be told anything may be no more, and has said more than was read of it.
    const ending = error.code === 'backend_unavailable' && (await pipe.ending()) !== undefined ? await reading : undefined
    return ending === undefined ? await outcomeOf(error.toFailure(), mirror) : await afterEnding(ending, mirror, reader)
  } finally {
    over.abort(new Error('aborted: the conversation is over'))
    sender.close()
  }
}

async function afterEnding({ failure, isAgents }: AgentEnding, mirror: AcpMirror, reader: PipeReader): Promise<ExecutionOutcome> {
  await mirror.cutOff()
  const noise = isAgents ? reader.noise() : ''
  return outcomeOf({ code: failure.code, message: noise === '' ? failure.message : `${failure.message}; its last words on stderr:\n${noise}` }, mirror)
}

async function outcomeOf(failure: Failure | undefined, mirror: AcpMirror): Promise<ExecutionOutcome> {
  const result = await mirror.result()
  return failure === undefined ? { kind: 'completed', result } : { kind: 'failed', failure, result }
}

/** An agent from which nothing comes for longer than this no longer moves; undefined while there was a sign of life within the limit. */
export function stallOf({ stallMs, stallToolMs }: AcpRun['patience'], silentMs: number, isToolRunning: boolean): Failure | undefined {
  const [limitMs, name] = isToolRunning ? [stallToolMs, 'STALL_TOOL_MS, a tool runs'] : [stallMs, 'STALL_MS, no tool runs']
  if (silentMs < limitMs) return undefined
  return { code: 'stalled', message: `the agent showed no sign of life for ${limitMs / 1000} s (${name})` }
}

async function whenStalled(failure: () => Failure | undefined, signal: AbortSignal): Promise<{ stalled: Failure }> {
  for (;;) {
    await delay(WATCH_MS, undefined, { signal })
    const stalled = failure()
    if (stalled !== undefined) return { stalled }
  }
}

/** Lets go at once, whatever is waited for. */
function whenAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    if (signal.aborted) reject(signal.reason as Error)
    else signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
  })
}
