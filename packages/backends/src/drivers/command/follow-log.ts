import { setTimeout as delay } from 'node:timers/promises'
import { type ExecutionEvent, type ExecutionOutcome, type RunContext, TaskFailure, type TaskResult } from '@longshore/contracts'
import { z } from 'zod'
import { cleanEvents } from '../../clean-events.ts'
import { createJournal } from '../../journal.ts'
import { containerOutput } from '../../places/container-output.ts'
import type { Containers } from '../../places/containers.ts'
import { piecesOf } from '../../text.ts'
import type { FileWatch } from '../../workspace/file-watch.ts'
import type { Piece } from './demultiplex.ts'

/** How far which container's log is in the task's log, in bytes of output, and the snapshot up to which its file changes are. */
const LogPosition = z.object({ container: z.string(), bytes: z.int().nonnegative(), tree: z.string() })
export type LogPosition = z.infer<typeof LogPosition>

const TEXT_BYTES = 12 * 1024
/** A chatty command gives ten events per second, however it buffers. */
const GAP_MS = 100
const RECONNECT_MS = 1_000
/** SIGKILL and SIGTERM: `docker stop`, `docker kill`, an engine that stops. A command that ends itself so is taken for one of these. */
const STOPPED = new Set([128 + 9, 128 + 15])

export interface LogRun {
  containers: Containers
  container: string
  position: LogPosition
  baseline: string
  files: FileWatch
  run: RunContext
  clean(text: string): string
}

export function parseLogPosition(text: string | undefined): LogPosition | undefined {
  try {
    return text === undefined ? undefined : LogPosition.safeParse(JSON.parse(text)).data
  } catch {
    return undefined
  }
}

/** Mirrors a container's output until it ends, and says how. The outcome rejects only when the signal aborts or the claim is lost. */
export function followLog(log: LogRun): { outcome: Promise<ExecutionOutcome>; result(): Promise<TaskResult> } {
  const mirror = createLogMirror(log)
  return { outcome: follow(log, mirror), result: () => mirror.result() }
}

async function follow({ containers, container, run }: LogRun, mirror: LogMirror): Promise<ExecutionOutcome> {
  for await (const pieces of containerOutput(containers, container, mirror.bytes(), run)) {
    run.signal.throwIfAborted()
    await mirror.write(pieces)
  }
  for (;;) {
    run.signal.throwIfAborted()
    const state = await containers.state(container).catch(() => 'unknown' as const)
    if (state === undefined) return { kind: 'failed', failure: { code: 'backend_lost', message: 'the container is gone' }, result: await mirror.result() }
    if (state !== 'unknown' && !state.isRunning) return outcomeOf(state, await mirror.end(state.exitCode))
    await delay(RECONNECT_MS) // the engine does not answer
  }
}

interface LogMirror {
  /** How many bytes of output are mirrored. */
  bytes(): number
  write(pieces: readonly Piece[]): Promise<void>
  /** The last scan for changed files, and the result. */
  end(exitCode: number): Promise<TaskResult>
  result(): Promise<TaskResult>
}

function createLogMirror({ baseline, files, run, clean, ...start }: LogRun): LogMirror {
  const journal = createJournal()
  let { position } = start
  let exitCode: number | undefined
  let summedUp = 0 // an adopter sums up what its predecessor mirrored

  async function record(events: ExecutionEvent[], next: LogPosition): Promise<void> {
    if (events.length > 0) await run.emit(events, JSON.stringify(next))
    journal.add(events)
    position = next
  }
  async function scan(): Promise<void> {
    const { events, tree } = await files.scan(position.tree)
    await record(events, { ...position, tree })
  }
  const result = async (): Promise<TaskResult> => journal.result(await files.count(baseline, position.tree).catch(() => 0), exitCode)

  return {
    bytes: () => position.bytes,
    write: async (pieces) => {
      const old = pieces.filter((piece) => piece.end <= start.position.bytes && piece.end > summedUp)
      summedUp = old.at(-1)?.end ?? summedUp
      journal.add(cleanEvents(eventsOf(old), clean))
      const fresh = pieces.filter((piece) => piece.end > position.bytes)
      if (fresh.length === 0) return
      files.hint()
      await record(cleanEvents(eventsOf(fresh), clean), { ...position, bytes: fresh.at(-1)?.end ?? position.bytes })
      if (files.dueInMs() === 0) await scan()
      await delay(GAP_MS)
    },
    end: async (code) => {
      exitCode = code
      await scan()
      return result()
    },
    result,
  }
}

function outcomeOf(state: { exitCode: number; outOfMemory: boolean }, result: TaskResult): ExecutionOutcome {
  return state.exitCode === 0 ? { kind: 'completed', result } : { kind: 'failed', failure: failureOf(state).toFailure(), result }
}

function failureOf({ exitCode, outOfMemory }: { exitCode: number; outOfMemory: boolean }): TaskFailure {
  if (outOfMemory) return new TaskFailure('out_of_memory', 'the command was killed by its memory limit (RUNNER_MEMORY_LIMIT)')
  if (STOPPED.has(exitCode)) return new TaskFailure('backend_lost', `the command was stopped from outside (exit code ${exitCode}): its container was stopped or killed, or the engine was`)
  return new TaskFailure('agent_error', `the command ended with exit code ${exitCode}`)
}

function eventsOf(pieces: readonly Piece[]): ExecutionEvent[] {
  return pieces.flatMap(({ stream, text }) => piecesOf(text, TEXT_BYTES).map((piece): ExecutionEvent => ({ type: 'task.output', payload: { text: piece, stream } })))
}
