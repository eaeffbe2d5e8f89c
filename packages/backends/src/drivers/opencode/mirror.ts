import type { ExecutionEvent, Usage } from '@longshore/contracts'
import { clip, piecesOf } from '../../text.ts'
import type { Message, Part } from './message.ts'

/** Where a mirror stands within the parts: see `Position`. */
export interface PartPosition { part: string; offset: number | null }

export interface Mirrored {
  events: ExecutionEvent[]
  position: PartPosition
}

/** Room for the rest of an event below MAX_EVENT_BYTES (16 KiB), in bytes of JSON. */
const TEXT_BYTES = 12 * 1024
const TITLE_BYTES = 300
const TOOL_INPUT_BYTES = 2 * 1024
const TOOL_OUTPUT_BYTES = 6 * 1024
/** An agent can stand in for its own server: no number from there is more than a sum of many can hold. */
const MAX_COUNT = 1e12

/**
 * The events of all parts behind `from`, strictly in their order: it stops at the first part that is not finished, except for the text
 * of a part that is being written (`live`: its text so far). In messages that are over nothing is waited for any more. Each text stands
 * apart from the one before by a blank line; `said` is what was said up to `from`, or the end of it.
 * @returns undefined when `from` is not among the messages: more of them are needed
 */
export function mirror(messages: readonly Message[], from: PartPosition, live: ReadonlyMap<string, string>, isOver: (message: Message) => boolean, said = ''): Mirrored | undefined {
  const parts = messages.filter(({ info }) => info.role === 'assistant').flatMap((message) => {
    // One text is written at a time: of one that broke off with its provider nothing comes any more, and it is never marked as ended.
    const text = message.parts.findLast((part) => part.type === 'text' && part.synthetic !== true)
    return message.parts.map((part) => ({ part, isEnded: isOver(message) || (part.type === 'text' && (part !== text || message.info.time.completed !== undefined)) }))
  })
  const known = parts.findIndex(({ part }) => part.id === from.part)
  if (known === -1 && from.part !== '') return undefined
  const events: ExecutionEvent[] = []
  let position = from
  let before = said
  for (const { part, isEnded } of parts.slice(from.part === '' || from.offset === null ? known + 1 : known)) {
    const offset = part.id === position.part ? (position.offset ?? 0) : 0
    const step = mirrorPart(part, offset, live.get(part.id), isEnded, before)
    events.push(...step.events)
    before = textOf(step.events) || before
    if (step.offset === undefined) break
    position = { part: part.id, offset: step.offset }
    if (step.offset !== null) break
  }
  return { events, position }
}

/**
 * A position among all messages of a session. Where its part is not there (its server died before it wrote it down): behind the newest
 * part that is older; ids are in order.
 */
export function anchor(messages: readonly Message[], position: PartPosition): PartPosition {
  const ids = messages.filter(({ info }) => info.role === 'assistant').flatMap(({ parts }) => parts.map(({ id }) => id))
  if (position.part === '' || ids.includes(position.part)) return position
  return { part: ids.findLast((id) => id < position.part) ?? '', offset: null }
}

/** `offset`: null when the part is done, a number when it goes on there, undefined when nothing can be said of it yet. */
function mirrorPart(part: Part, offset: number, live: string | undefined, isOver: boolean, before: string): { events: ExecutionEvent[]; offset: number | null | undefined } {
  switch (part.type) {
    case 'text': {
      if (part.synthetic === true || part.ignored === true) return { events: [], offset: null }
      const isDone = isOver || part.time?.end !== undefined
      const text = isDone ? part.text : (live ?? part.text)
      const fresh = text.slice(offset)
      const gap = offset === 0 && fresh !== '' ? gapAfter(before) : ''
      const events = piecesOf(gap + fresh, TEXT_BYTES).map((piece): ExecutionEvent => ({ type: 'task.output', payload: { text: piece, stream: 'agent' } }))
      return { events, offset: isDone ? null : Math.max(offset, text.length) }
    }
    case 'tool': {
      const isDone = part.state.status === 'completed' || part.state.status === 'error'
      return isDone || isOver ? { events: [toolEvent(part)], offset: null } : { events: [], offset: undefined }
    }
    case 'step-finish': return { events: [{ type: 'task.usage', payload: usageOf(part) }], offset: null }
    case 'other':
    default: return { events: [], offset: null }
  }
}

function gapAfter(text: string): string {
  if (text === '' || text.endsWith('\n\n')) return ''
  return text.endsWith('\n') ? '\n' : '\n\n'
}

/** What events say, in one piece. */
export function textOf(events: readonly ExecutionEvent[]): string {
  return events.map((event) => (event.type === 'task.output' ? event.payload.text : '')).join('')
}

function toolEvent({ tool, state }: Part & { type: 'tool' }): ExecutionEvent {
  const output = state.status === 'completed' ? state.output : (state.error ?? 'the tool was interrupted')
  const input = state.input === undefined ? undefined : JSON.stringify(state.input)
  return {
    type: 'task.tool',
    ...(output === undefined || output.length <= TOOL_OUTPUT_BYTES / 6 ? {} : { whole: output }),
    payload: {
      tool: clip(tool, TITLE_BYTES),
      title: clip(state.title ?? tool, TITLE_BYTES),
      status: state.status === 'completed' ? 'completed' : 'error',
      ...(input === undefined ? {} : { input: clip(input, TOOL_INPUT_BYTES) }),
      ...(output === undefined ? {} : { output: clip(output, TOOL_OUTPUT_BYTES) }),
      ...(state.time?.end === undefined ? {} : { duration_ms: count(state.time.end - state.time.start) }),
    },
  }
}

function usageOf({ tokens, cost }: Part & { type: 'step-finish' }): Usage {
  return {
    input_tokens: count(tokens.input), output_tokens: count(tokens.output), reasoning_tokens: count(tokens.reasoning),
    cache_read_tokens: count(tokens.cache.read), cache_write_tokens: count(tokens.cache.write), cost_micros: count(cost * 1_000_000),
  }
}

function count(value: number): number {
  return Math.min(MAX_COUNT, Math.max(0, Math.round(value)))
}
