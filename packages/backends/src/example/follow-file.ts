import { type FileHandle, open, readFile } from 'node:fs/promises'
import { StringDecoder } from 'node:string_decoder'
import { setTimeout as delay } from 'node:timers/promises'
import { type ExecutionEvent, type ExecutionOutcome, type RunContext, TaskFailure, type TaskResult } from '@longshore/contracts'
import { z } from 'zod'
import { cleanEvents } from '../clean-events.ts'
import { createJournal } from '../journal.ts'
import { isAlive, type ProcessName } from '../places/process-tree.ts'
import { piecesOf } from '../text.ts'
import type { FileWatch } from '../workspace/file-watch.ts'
import type { ExecutionFolder } from './host-process.ts'

// The driver of the example: what a plain command says and how it ends become events and an outcome.

/** How far which execution's log is in the task's log, in bytes, and the snapshot up to which its file changes are. */
const Position = z.object({ execution: z.string(), bytes: z.int().nonnegative(), tree: z.string() })
export type Position = z.infer<typeof Position>

const CHUNK_BYTES = 64 * 1024
const TEXT_BYTES = 12 * 1024
/** A chatty command gives ten bursts of events per second, and is looked at as often. */
const GAP_MS = 100

/** undefined: nothing was mirrored, or by another backend. */
export function parsePosition(text: string | undefined): Position | undefined {
  try {
    return text === undefined ? undefined : Position.safeParse(JSON.parse(text)).data
  } catch {
    return undefined
  }
}

export interface FileRun {
  log: FileHandle
  folder: ExecutionFolder
  leader: ProcessName
  baseline: string
  position: Position
  files: FileWatch
  run: RunContext
  clean(text: string): string
}

/** Mirrors the log until its process is over, and says how that ended. The outcome rejects only when the signal aborts or the claim is lost. */
export function followFile({ log, folder, leader, baseline, files, run, clean, ...start }: FileRun): { outcome: Promise<ExecutionOutcome>; result(): Promise<TaskResult> } {
  const journal = createJournal()
  let { position } = start
  let exitCode: number | undefined

  async function tell(events: readonly ExecutionEvent[], next: Position): Promise<void> {
    if (events.length > 0) await run.emit(events, JSON.stringify(next)) // in one step: no crash comes between the two (G5)
    journal.add(events)
    position = next
  }
  async function scan(): Promise<void> {
    const { events, tree } = await files.scan(position.tree)
    await tell(events, { ...position, tree })
  }
  async function hear({ text, end }: Piece): Promise<void> {
    const events = cleanEvents(piecesOf(text, TEXT_BYTES).map((piece) => ({ type: 'task.output', payload: { text: piece, stream: 'stdout' } })), clean)
    if (end <= start.position.bytes) return journal.add(events) // an earlier owner told it; the result is about all of it
    files.hint()
    await tell(events, { ...position, bytes: end })
    if (files.dueInMs() === 0) await scan()
    await delay(GAP_MS)
  }
  const result = async (): Promise<TaskResult> => journal.result(await files.count(baseline, position.tree).catch(() => 0), exitCode)

  async function follow(): Promise<ExecutionOutcome> {
    const next = readerOf(log, start.position.bytes)
    for (;;) {
      run.signal.throwIfAborted()
      const isOver = !(await isAlive(leader)) // asked first: whatever it said is in the log by now
      const piece = await next().catch((error: unknown) => new TaskFailure('storage_unavailable', `cannot read ${folder.log}: ${String(error)}`, { cause: error }))
      if (piece instanceof TaskFailure) return { kind: 'failed', failure: piece.toFailure(), result: await result() }
      if (piece !== undefined) await hear(piece)
      else if (isOver) break
      else await delay(GAP_MS)
    }
    exitCode = await exitCodeIn(folder)
    await scan()
    return outcomeOf(exitCode, await result())
  }
  const close = (): void => void log.close().catch((error: unknown) => run.log.debug({ err: error }, 'a log did not close'))
  return { outcome: follow().finally(close), result }
}

/** `end` counts the bytes of the log up to its last. */
interface Piece { text: string; end: number }

/**
 * Reads a log from its beginning, a piece each time; undefined when there is nothing more for now. No piece lies on both sides of byte
 * `mark`: what ends there was an earlier reader's, and a character which that one had only half of comes out whole behind it.
 */
function readerOf(log: FileHandle, mark: number): () => Promise<Piece | undefined> {
  const decoder = new StringDecoder('utf8')
  let read = 0
  return async () => {
    const length = read < mark ? Math.min(CHUNK_BYTES, mark - read) : CHUNK_BYTES
    const { buffer, bytesRead } = await log.read({ buffer: Buffer.alloc(length), position: read })
    read += bytesRead
    return bytesRead === 0 ? undefined : { text: decoder.write(buffer.subarray(0, bytesRead)), end: read }
  }
}

/** The log of an execution; undefined when it was disposed of, or never started. */
export async function openLog(folder: ExecutionFolder): Promise<FileHandle | undefined> {
  return open(folder.log).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw new TaskFailure('storage_unavailable', `cannot read ${folder.log}: ${error.message}`, { cause: error })
  })
}

async function exitCodeIn(folder: ExecutionFolder): Promise<number | undefined> {
  const written = await readFile(folder.exit, 'utf8').catch(() => '')
  return /^\d{1,3}\n$/.test(written) ? Number(written) : undefined
}

function outcomeOf(exitCode: number | undefined, result: TaskResult): ExecutionOutcome {
  if (exitCode === 0) return { kind: 'completed', result }
  const failure = exitCode === undefined
    ? new TaskFailure('backend_lost', 'the command was ended from outside: by its watchdog, or by somebody else on this host')
    : new TaskFailure('agent_error', `the command ended with exit code ${exitCode}`)
  return { kind: 'failed', failure: failure.toFailure(), result }
}
