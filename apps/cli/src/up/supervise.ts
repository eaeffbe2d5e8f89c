import { setTimeout as delay } from 'node:timers/promises'
import { type Child, startChild } from './child.ts'
import { restartDelayMs, STEADY_MS } from './restart-delay.ts'

/** One process of the stack. */
export interface Program {
  name: string
  script: string
  env: Readonly<Record<string, string>>
  /** Asked again and again while it starts. Throwing means: not yet. */
  isReady(signal: AbortSignal): Promise<boolean>
  /** How long it may take to become ready. */
  startMs: number
  /** How long it may take to stop before it is killed. */
  stopMs: number
}

/** What the supervisor tells the person at the terminal. */
export interface Watcher {
  line(program: Program, line: string): void
  /** It ended, or did not come up, and is started again in `delayMs`. */
  restarting(program: Program, why: string, delayMs: number): void
  back(program: Program): void
}

export interface Supervised {
  program: Program
  /** Resolves when it is ready for the first time. */
  ready: Promise<void>
  /** Rejects with GaveUp when it is hopeless. Pending otherwise. */
  gaveUp: Promise<never>
  stop(): Promise<void>
}

/** The program cannot be kept running; the message says which, why, and its last words. */
export class GaveUp extends Error {
  override readonly name = 'GaveUp'
}

/** Enough to hold what was said before a long stack. */
const LAST_LINES = 40
const POLL_MS = 100

/** Keeps one program running until it is stopped or hopeless. */
export function supervise(program: Program, watcher: Watcher): Supervised {
  const ready = Promise.withResolvers<void>()
  const stopping = new AbortController()
  const run: Run = { program, watcher, stopping: stopping.signal, onReady: ready.resolve, child: undefined }
  const gaveUp = Promise.withResolvers<never>()
  keepRunning(run).catch(gaveUp.reject)
  // Whoever waits for only one of the two must not crash on the other.
  gaveUp.promise.catch(() => undefined)
  return {
    program, ready: ready.promise, gaveUp: gaveUp.promise,
    async stop() {
      stopping.abort()
      await run.child?.stop(program.stopMs)
    },
  }
}

interface Run {
  program: Program
  watcher: Watcher
  stopping: AbortSignal
  onReady: () => void
  /** The one that runs, or ran last. */
  child: Child | undefined
}

const isStopping = ({ stopping }: Run): boolean => stopping.aborted

async function keepRunning(run: Run): Promise<void> {
  const { program, watcher } = run
  let failures = 0
  while (!isStopping(run)) {
    const { why, steady, lastLines } = await runOnce(run, failures > 0)
    if (isStopping(run)) return
    failures = steady ? 1 : failures + 1
    const delayMs = restartDelayMs(failures)
    if (delayMs === undefined) throw new GaveUp([`${program.name} ${why}, ${failures} times in a row. Its last lines:`, ...lastLines].join('\n'))
    watcher.restarting(program, why, delayMs)
    await delay(delayMs, undefined, { signal: run.stopping }).catch(() => undefined)
  }
}

/** From its start to its end. `steady`: it was healthy for long enough to forget earlier failures. */
async function runOnce(run: Run, isRestart: boolean): Promise<{ why: string; steady: boolean; lastLines: string[] }> {
  const { program, watcher } = run
  const lastLines: string[] = []
  const begun = performance.now()
  const child = startChild({ script: program.script, env: program.env, onLine: (line) => {
    lastLines.push(line)
    if (lastLines.length > LAST_LINES) lastLines.shift()
    watcher.line(program, line)
  } })
  run.child = child
  const fault = await untilReady(run, child)
  if (fault === undefined && !isStopping(run)) {
    if (isRestart) watcher.back(program)
    run.onReady()
  }
  const why = fault ?? `stopped by itself (${await child.exited})`
  // What did not become ready may still run; what ended may have left children.
  await child.stop(program.stopMs)
  return { why, lastLines, steady: fault === undefined && performance.now() - begun >= STEADY_MS }
}

/** @returns undefined when it is ready (or everything stops), else what went wrong. */
async function untilReady({ program, stopping }: Run, child: Child): Promise<string | undefined> {
  const ended = new AbortController()
  void child.exited.then((how) => ended.abort(how))
  const deadline = performance.now() + program.startMs
  while (!stopping.aborted) {
    if (ended.signal.aborted) return `did not start (${String(ended.signal.reason)})`
    if (performance.now() > deadline) return `was not ready within ${program.startMs / 1_000} s`
    const isReady = await program.isReady(AbortSignal.any([stopping, ended.signal, AbortSignal.timeout(2_000)])).catch(() => false)
    if (isReady) return undefined
    await delay(POLL_MS)
  }
  return undefined
}
