import type { ExecutionEvent, Usage } from '@longshore/contracts'
import { z } from 'zod'
import { clip, piecesOf } from '../../text.ts'

const Text = z.object({ type: z.literal('text'), text: z.string() })
const Content = z.object({ type: z.literal('content'), content: Text })
const Tool = z.object({
  toolCallId: z.string(),
  title: z.string().nullish(),
  name: z.string().nullish(),
  kind: z.string().nullish(),
  status: z.string().nullish(),
  rawInput: z.unknown().optional(),
  content: z.array(z.unknown()).nullish(),
})
const Tokens = z.object({
  inputTokens: z.number(), outputTokens: z.number(), thoughtTokens: z.number().nullish(), cachedReadTokens: z.number().nullish(), cachedWriteTokens: z.number().nullish(),
})
/** What a step used, as agents of Gemini CLI's kin (Qwen Code) say it with an empty chunk of words: the protocol has no place for it. */
const StepMeta = z.object({ usage: Tokens.optional().catch(undefined) }).nullish().catch(undefined)
/** The updates that become events, as far as they matter here; what an agent of a later version adds is passed over. */
const Update = z.discriminatedUnion('sessionUpdate', [
  z.object({ sessionUpdate: z.literal('agent_message_chunk'), content: Text, messageId: z.string().nullish(), _meta: StepMeta }),
  Tool.extend({ sessionUpdate: z.literal('tool_call') }),
  Tool.extend({ sessionUpdate: z.literal('tool_call_update') }),
  z.object({ sessionUpdate: z.literal('usage_update'), cost: z.object({ amount: z.number() }).nullish() }),
])
const Notification = z.object({ method: z.literal('session/update'), params: z.object({ sessionId: z.string(), update: Update }) })

/** Room for the rest of an event below MAX_EVENT_BYTES (16 KiB), in bytes of JSON. */
const TEXT_BYTES = 12 * 1024
const TITLE_BYTES = 300
const TOOL_INPUT_BYTES = 2 * 1024
const TOOL_OUTPUT_BYTES = 6 * 1024
/** No honest turn has more tools under way at once; an agent that begins them without an end is not to fill the worker's memory. */
const MAX_OPEN_TOOLS = 1_000
/** An agent can claim any number: none is more than a sum of many can hold. */
const MAX_COUNT = 1e12

/** A tool that was begun and has not ended, its texts already cut to what an event holds. */
interface OpenTool { tool: string; title: string; input?: string; output?: string }

/** Turns what a session says of itself into events. What it keeps is rebuilt by reading the same messages again. */
export interface Updates {
  /** The events of one message; none for what is no update of the session, or says nothing. */
  take(message: unknown): ExecutionEvent[]
  isToolOpen(): boolean
  /** What the turn used was told step by step: what its end says of it is no news. */
  isUsageTold(): boolean
  /** Tools that were under way when the agent ended. */
  cutOff(): ExecutionEvent[]
  /** What the session has cost so far, as the agent says, in millionths. */
  cost(): number
}

/** @param goesOn words of an earlier execution stand before its first */
export function createUpdates(goesOn: boolean): Updates {
  const open = new Map<string, OpenTool>()
  let message: string | undefined = goesOn ? '' : undefined
  let said = goesOn ? '…' : ''
  let cost = 0
  let isUsageTold = false
  /** A tool came after the last words; of an agent that does not say which message its words are of, the next ones are another. */
  let isCut = false

  function text(piece: string, id: string | undefined): ExecutionEvent[] {
    if (piece === '') return []
    const isOther = id === undefined ? isCut : message !== undefined && id !== message
    const gap = isOther ? gapAfter(said) : ''
    message = id
    isCut = false
    said = (said + gap + piece).slice(-2)
    return output(gap + piece)
  }
  function tool(update: z.output<typeof Tool>): ExecutionEvent[] {
    isCut = true
    const known = merged(open.get(update.toolCallId), update)
    if (update.status === 'completed' || update.status === 'failed') {
      open.delete(update.toolCallId)
      // What an agent tells with the end is not kept meanwhile: it may be long.
      return [eventOf(known, update.status === 'completed' ? 'completed' : 'error', saidIn(update))]
    }
    if (open.has(update.toolCallId) || open.size < MAX_OPEN_TOOLS) open.set(update.toolCallId, known)
    return []
  }
  function step(usage: z.output<typeof Tokens> | undefined): ExecutionEvent[] {
    if (usage === undefined) return []
    isUsageTold = true
    return [{ type: 'task.usage', payload: counted(usage, 0) }]
  }
  return {
    take: (raw) => {
      const update = Notification.safeParse(raw).data?.params.update
      switch (update?.sessionUpdate) {
        case 'agent_message_chunk': return [...text(update.content.text, update.messageId ?? undefined), ...step(update['_meta']?.usage)]
        case 'tool_call':
        case 'tool_call_update': return tool(update)
        case 'usage_update': cost = update.cost == null ? cost : count(update.cost.amount * 1_000_000); return []
        case undefined:
        default: return []
      }
    },
    isToolOpen: () => open.size > 0,
    isUsageTold: () => isUsageTold,
    cutOff: () => {
      const events = [...open.values()].map((one) => eventOf({ ...one, output: one.output ?? 'the tool was interrupted' }, 'error'))
      open.clear()
      return events
    },
    cost: () => cost,
  }
}

/** Neighbouring pieces of what is said as one event, as far as it holds them. */
export function joined(events: readonly ExecutionEvent[]): ExecutionEvent[] {
  const all: ExecutionEvent[] = []
  let words = ''
  const flush = (): void => {
    all.push(...output(words))
    words = ''
  }
  for (const event of events) {
    if (event.type === 'task.output') {
      words += event.payload.text
    } else {
      flush()
      all.push(event)
    }
  }
  flush()
  return all
}

/** What a turn used, where its answer says so (it is not a stable part of the protocol yet). */
export function usageOf(answer: unknown, costMicros: number): Usage | undefined {
  const tokens = z.object({ usage: Tokens }).safeParse(answer).data?.usage
  return tokens === undefined && costMicros === 0 ? undefined : counted(tokens, costMicros)
}

function counted(tokens: z.output<typeof Tokens> | undefined, costMicros: number): Usage {
  return {
    input_tokens: count(tokens?.inputTokens), output_tokens: count(tokens?.outputTokens), reasoning_tokens: count(tokens?.thoughtTokens),
    cache_read_tokens: count(tokens?.cachedReadTokens), cache_write_tokens: count(tokens?.cachedWriteTokens), cost_micros: costMicros,
  }
}

function output(text: string): ExecutionEvent[] {
  return piecesOf(text, TEXT_BYTES).map((piece) => ({ type: 'task.output', payload: { text: piece, stream: 'agent' } }))
}

function merged(before: OpenTool | undefined, update: z.output<typeof Tool>): OpenTool {
  const { title, name, kind, rawInput } = update
  const said = saidIn(update)
  const input = rawInput == null ? before?.input : clip(JSON.stringify(rawInput), TOOL_INPUT_BYTES)
  const words = said === '' ? before?.output : clip(said, TOOL_OUTPUT_BYTES)
  return {
    tool: clip(name ?? before?.tool ?? kind ?? 'other', TITLE_BYTES), title: clip(title ?? before?.title ?? '', TITLE_BYTES),
    ...(input === undefined ? {} : { input }), ...(words === undefined ? {} : { output: words }),
  }
}

function saidIn({ content }: z.output<typeof Tool>): string {
  return (content ?? []).flatMap((one) => Content.safeParse(one).data?.content.text ?? []).join('\n')
}

/** @param whole what is not cut for the event, for the full output */
function eventOf({ tool, title, input, output: said }: OpenTool, status: 'completed' | 'error', whole = ''): ExecutionEvent {
  return { type: 'task.tool', ...(whole.length <= TOOL_OUTPUT_BYTES / 6 ? {} : { whole }), payload: { tool, title: title === '' ? tool : title, status, ...(input === undefined ? {} : { input }), ...(said === undefined ? {} : { output: said }) } }
}

function gapAfter(text: string): string {
  if (text === '' || text.endsWith('\n\n')) return ''
  return text.endsWith('\n') ? '\n' : '\n\n'
}

function count(value: number | null | undefined): number {
  return Math.min(MAX_COUNT, Math.max(0, Math.round(Number.isFinite(value) ? (value ?? 0) : 0)))
}
