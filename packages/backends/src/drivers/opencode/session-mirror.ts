import type { ExecutionEvent, RunContext, TaskResult } from '@longshore/contracts'
import { cleanEvents } from '../../clean-events.ts'
import { createJournal } from '../../journal.ts'
import type { Redactor } from '../../text.ts'
import type { FileWatch } from '../../workspace/file-watch.ts'
import type { Message } from './message.ts'
import { anchor, mirror } from './mirror.ts'
import { formatPosition, type Position } from './position.ts'
import { isBefore } from './prompt.ts'
import type { SessionApi } from './session-api.ts'

// G5: what is appended to the log and how far the source was read are stored in one step, so whoever goes on
// from the stored position loses nothing and repeats nothing.

/** Enough to hold what came since the last look; if not, all are read. */
const RECENT_MESSAGES = 6

export interface SessionMirrorOptions {
  api: SessionApi
  sessionId: string
  /** The prompt of this run: in messages before it nothing changes any more, also what looks as if it still ran (the server died). */
  prompt: string
  position: Position
  /** The snapshot from which `files_changed` counts. */
  baseline: string
  files: FileWatch
  /** Texts that are being written. */
  live: ReadonlyMap<string, string>
  clean: Redactor
  emit: RunContext['emit']
}

/** Copies a session into the task's log. */
export interface SessionMirror {
  /** The newest messages, back to the mirrored position at least. */
  read(): Promise<Message[]>
  /** Appends what is new in them; with `isOver` all of it, changed files included. Rejects when the claim is lost. */
  write(messages: readonly Message[], isOver: boolean): Promise<void>
  result(): Promise<TaskResult>
}

export function createSessionMirror({ api, sessionId, prompt, files, live, clean, emit, baseline, ...start }: SessionMirrorOptions): SessionMirror {
  const journal = createJournal()
  let { position } = start
  let isSummedUp = position.part === '' // an adopter first sums up what its predecessor mirrored

  async function record(events: ExecutionEvent[], next: Position): Promise<void> {
    const cleaned = cleanEvents(events, clean)
    if (cleaned.length > 0) await emit(cleaned, formatPosition(next))
    journal.add(cleaned)
    position = next
  }

  return {
    read: async () => {
      if (!isSummedUp) return api.messages(sessionId)
      const recent = await api.messages(sessionId, RECENT_MESSAGES)
      const isEnough = recent.length < RECENT_MESSAGES || (position.part !== '' && mirror(recent, position, live, () => false) !== undefined)
      return isEnough ? recent : api.messages(sessionId)
    },
    write: async (messages, isOver) => {
      position = { ...position, ...anchor(messages, position) }
      if (!isSummedUp) journal.add(cleanEvents(mirroredBefore(messages, position), clean))
      isSummedUp = true
      const clear = new Map([...live].map(([id, text]) => [id, text.slice(0, clean.clearOf(text))]))
      const news = mirror(messages, position, clear, (message) => isOver || isBefore(message, prompt), journal.said())
      if (news === undefined) return
      if (news.events.some((event) => event.type === 'task.tool')) files.hint()
      await record(news.events, { ...news.position, tree: position.tree })
      if (!isOver && files.dueInMs() !== 0) return
      const { events, tree } = await files.scan(position.tree)
      await record(events, { ...position, tree })
    },
    result: async () => journal.result(await files.count(baseline, position.tree).catch(() => 0)),
  }
}

/** What a predecessor had mirrored up to a position, as events. */
function mirroredBefore(messages: readonly Message[], { part: id, offset }: Position): ExecutionEvent[] {
  const at = messages.findIndex((message) => message.parts.some((part) => part.id === id))
  const message = messages[at]
  if (message === undefined) return []
  const index = message.parts.findIndex((part) => part.id === id)
  const last = message.parts[index]
  const cut = last?.type === 'text' && offset !== null ? { ...last, text: last.text.slice(0, offset) } : last
  const parts = [...message.parts.slice(0, index), ...(cut === undefined ? [] : [cut])]
  return mirror([...messages.slice(0, at), { ...message, parts }], { part: '', offset: null }, new Map(), () => true)?.events ?? []
}
