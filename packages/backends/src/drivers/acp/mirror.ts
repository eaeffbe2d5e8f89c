import type { ExecutionEvent, RunContext, TaskResult } from '@longshore/contracts'
import { z } from 'zod'
import { cleanEvents } from '../../clean-events.ts'
import { createJournal } from '../../journal.ts'
import type { Redactor } from '../../text.ts'
import type { FileWatch } from '../../workspace/file-watch.ts'
import { textOf } from '../opencode/mirror.ts'
import { MAX_LINE_CHARACTERS } from './lines.ts'
import { createUpdates, joined, usageOf } from './updates.ts'

/**
 * How far an agent's messages are in the task's log (G5): of which execution, up to which line, the snapshot up to which file changes are,
 * and the cost that is told. `over`: all of that execution is in it.
 */
const AcpPosition = z.object({ execution: z.string(), line: z.int().nonnegative(), tree: z.string(), cost: z.int().nonnegative(), over: z.literal(true).optional() })
export type AcpPosition = z.infer<typeof AcpPosition>

export function parseAcpPosition(text: string | undefined): AcpPosition | undefined {
  try {
    return text === undefined ? undefined : AcpPosition.safeParse(JSON.parse(text)).data
  } catch {
    return undefined
  }
}

/** What an adopter or the next execution of the session goes on from; a session that is new has cost nothing. */
export function positionFor(execution: string, stored: AcpPosition | undefined, baseline: string, isNewSession: boolean): AcpPosition {
  if (stored?.execution === execution) return stored
  return { execution, line: 0, tree: stored?.tree ?? baseline, cost: isNewSession ? 0 : (stored?.cost ?? 0) }
}

export interface AcpMirrorOptions {
  position: AcpPosition
  /** Its session was made by an earlier execution. */
  isResumed: boolean
  baseline: string
  files: FileWatch
  run: RunContext
  clean: Redactor
}

export interface AcpMirror {
  /** One message, by its line; those up to the position are only summed up. */
  take(message: unknown, line: number): void
  /** The same, of one that is too long to be read. */
  leaveOut(line: number): void
  /** Writes down what was taken, and looks at the files when that is due. Whether there was anything. */
  flush(): Promise<boolean>
  isToolRunning(): boolean
  /** The answer to the prompt, and the last look at the files. */
  end(answer: unknown): Promise<void>
  /** The execution ended without an answer: so did its tools. */
  cutOff(): Promise<void>
  result(): Promise<TaskResult>
  position(): AcpPosition
}

const LEFT_OUT = `\n[longshore] A message of the agent, of what it said or of what a tool put out, is left out: it is longer than ${MAX_LINE_CHARACTERS / 1024 ** 2} MiB.\n`

export function createAcpMirror({ isResumed, baseline, files, run, clean, ...start }: AcpMirrorOptions): AcpMirror {
  const journal = createJournal()
  const updates = createUpdates(isResumed)
  let { position } = start
  const pending: Taken[] = []
  let line = position.line
  let writing: Promise<void> = Promise.resolve()

  async function record(events: readonly ExecutionEvent[], next: AcpPosition): Promise<void> {
    const cleaned = cleanEvents(joined(events), clean)
    if (cleaned.length > 0) await run.emit(cleaned, JSON.stringify(next))
    journal.add(cleaned)
    position = next
  }
  async function scan(): Promise<void> {
    const { events, tree } = await files.scan(position.tree)
    await record(events, { ...position, tree })
  }
  const isOld = ({ line: number }: Taken): boolean => number <= start.position.line
  async function write(more: readonly ExecutionEvent[] = [], change: Partial<AcpPosition> = {}): Promise<void> {
    const told = pending.splice(0, change.over === true ? pending.length : clearIn(pending, clean))
    journal.add(cleanEvents(joined(eventsIn(told.filter(isOld))), clean)) // an adopter sums up what its predecessor mirrored
    const upTo = pending.length === 0 ? line : Math.max(position.line, told.at(-1)?.line ?? 0)
    await record([...eventsIn(told.filter((one) => !isOld(one))), ...more], { ...position, line: upTo, ...change })
    if (files.dueInMs() === 0) await scan()
  }
  /** One at a time, in their order. */
  const inTurn = (step: () => Promise<void>): Promise<void> => (writing = writing.then(step))
  function hear(events: ExecutionEvent[], number: number): void {
    line = Math.max(line, number)
    if (events.length === 0) return
    pending.push({ line: number, events })
    if (number > start.position.line) files.hint()
  }
  return {
    take: (message, number) => hear(updates.take(message), number),
    leaveOut: (number) => hear([{ type: 'task.output', payload: { text: LEFT_OUT, stream: 'agent' } }], number),
    flush: async () => {
      const isNews = pending.some((one) => !isOld(one))
      await inTurn(() => write())
      return isNews
    },
    isToolRunning: updates.isToolOpen,
    end: (answer) => inTurn(async () => {
      const said = updates.isUsageTold() ? undefined : answer
      // Who told it may have died before the end was written down.
      const isTold = position.over === true
      const usage = usageOf(said, Math.max(0, updates.cost() - (isTold && !isResumed ? 0 : position.cost)))
      const events: ExecutionEvent[] = usage === undefined ? [] : [{ type: 'task.usage', payload: usage }]
      await write(isTold ? [] : events, { cost: Math.max(position.cost, updates.cost()), over: true })
      if (isTold) journal.add(events)
      await scan()
    }),
    cutOff: () => inTurn(async () => {
      if (position.over === true) return
      await write(updates.cutOff(), { over: true })
      await scan()
    }),
    result: async () => journal.result(await files.count(baseline, position.tree).catch(() => 0)),
    position: () => position,
  }
}

/** What one message says. */
interface Taken { line: number; events: ExecutionEvent[] }

function eventsIn(messages: readonly Taken[]): ExecutionEvent[] {
  return messages.flatMap(({ events }) => events)
}

/** How many of these can be told while more may come: agents say a word in several messages, and a secret, too. */
function clearIn(messages: readonly Taken[], clean: Redactor): number {
  const words = textOf(eventsIn(messages.slice(messages.findLastIndex(({ events }) => events.some(({ type }) => type !== 'task.output')) + 1)))
  let held = words.length - clean.clearOf(words)
  let count = messages.length
  for (; held > 0; count -= 1) held -= textOf(eventsIn(messages.slice(count - 1, count))).length
  return count
}
