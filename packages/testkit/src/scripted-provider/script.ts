import type { Client } from './clients.ts'

/**
 * What the scripted model does next, as a function of the conversation alone. No network, no clock.
 * The script is the directives of all user messages in order; the assistant turns since then are its progress,
 * so a retried, resumed or adopted conversation goes on where it stopped.
 */

/** One thing to do. `status` takes no turn of the conversation: its failure is not shown in it. */
export type Directive =
  | { do: 'bash'; command: string }
  | { do: 'write'; path: string; text: string }
  | { do: 'say'; text: string }
  | { do: 'sleep'; ms: number }
  | { do: 'ask'; question: string; choices: string[] }
  | { do: 'stream'; chunks: number; pauseMs: number }
  | { do: 'status'; code: number }
  | { do: 'hang' }

/** A message of a chat completion request, as far as it matters here. */
export interface ChatMessage {
  role: string
  text: string
}

/** Where a conversation stands in its script. */
export interface Progress {
  script: Directive[]
  position: number
}

const NAMES = 'bash|write|say|sleep|ask|stream|status|hang'
const OPENING = new RegExp(`\\[\\[(${NAMES})(?=[\\s\\]])`, 'g')

/** All directives of a text, in order. Double brackets inside an argument must be balanced, as bash's `[[ … ]]` is. */
export function parseDirectives(text: string): Directive[] {
  const found: Directive[] = []
  OPENING.lastIndex = 0
  for (let match = OPENING.exec(text); match !== null; match = OPENING.exec(text)) {
    const begin = OPENING.lastIndex
    const end = closingOf(text, begin)
    if (end === undefined) break
    const directive = directiveOf(match[1] ?? '', text.slice(begin, end).trim())
    if (directive !== undefined) found.push(directive)
    OPENING.lastIndex = end + 2
  }
  return found
}

/** Walks a conversation: what its script is, and which directive is next. */
export function progressOf(messages: readonly ChatMessage[], { turnEnd }: Pick<Client, 'turnEnd'> = { turnEnd: (_script, position) => position + 1 }): Progress {
  const script: Directive[] = []
  let position = 0
  for (const message of messages) {
    if (message.role === 'user') script.push(...parseDirectives(message.text))
    if (message.role === 'assistant') position = Math.min(turnEnd(script, afterStatuses(script, position)), script.length)
  }
  return { script, position }
}

function afterStatuses(script: readonly Directive[], position: number): number {
  let next = position
  while (script[next]?.do === 'status') next += 1
  return next
}

function closingOf(text: string, from: number): number | undefined {
  let depth = 1
  for (let i = from; i < text.length - 1; i += 1) {
    const pair = text.slice(i, i + 2)
    if (pair === '[[') depth += 1
    if (pair === ']]') depth -= 1
    if (depth === 0) return i
    if (pair === '[[' || pair === ']]') i += 1
  }
  return undefined
}

/** `[[stream N]]`, and `[[stream N|MS]]` with a pause before each chunk. */
function streamOf(chunks: number, pauseMs: number): Directive | undefined {
  const areCounts = [chunks, pauseMs].every((number) => Number.isSafeInteger(number) && number >= 0)
  return areCounts ? { do: 'stream', chunks, pauseMs } : undefined
}

function directiveOf(name: string, argument: string): Directive | undefined {
  const [first = '', ...rest] = argument.split('|')
  const number = Number(argument)
  const isCount = Number.isSafeInteger(number) && number >= 0 && argument !== ''
  switch (name) {
    case 'bash': return { do: 'bash', command: argument }
    case 'write': return { do: 'write', path: first.trim(), text: rest.join('|') }
    case 'say': return { do: 'say', text: argument }
    case 'ask': return { do: 'ask', question: first, choices: rest }
    case 'hang': return { do: 'hang' }
    case 'sleep': return isCount ? { do: 'sleep', ms: number } : undefined
    case 'stream': return streamOf(Number(first), Number(rest[0] ?? 0))
    case 'status': return number >= 400 && number <= 599 && isCount ? { do: 'status', code: number } : undefined
    default: return undefined
  }
}
