import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { type RunContext, TaskFailure } from '@longshore/contracts'
import type { AgentInput, AgentPipe } from './pipe.ts'
import { LINE_END, SENT } from './relay-script.ts'

/** Gives an agent each line once, whoever else gave it some: the journal says what it has (G5, G7). */
export interface Sender {
  /** Resolves once the agent has it. `key`: as `requestKey` or `answerKey` name it. */
  send(key: string, message: object): Promise<void>
  /** A line of the journal. */
  noted(line: string): void
  /** Whether the agent has it; only after `synced` is a no final for what others gave it. */
  has(key: string): boolean
  /** Resolves once everything that others gave it is known. Never rejects. */
  readonly synced: Promise<void>
  close(): void
}

export const requestKey = (method: string): string => `ask ${JSON.stringify(method)}`
export const answerKey = (id: string | number): string => `answer ${JSON.stringify(id)}`

const SYNC_TIMEOUT_MS = 20_000
const REOPEN_MS = 100
/** What stands at the beginning of our lines. */
const HEAD = /^\{"jsonrpc":"2\.0","id":("(?:[^"\\]|\\.)*"|-?[\d.e+]+)([,}])("method")?/

/** @param saidBefore a request that is not sent: only who went before can have done that, else it is `backend_lost` */
export function createSender(pipe: AgentPipe, run: Pick<RunContext, 'signal' | 'confirmClaim'>, saidBefore: string | undefined): Sender {
  const known = new Set<string>()
  const waiting = new Map<string, () => void>()
  const synced = Promise.withResolvers<void>()
  let input: Promise<AgentInput> | undefined

  const isGiven = (key: string): Promise<void> => (known.has(key) ? Promise.resolve() : new Promise((resolve) => waiting.set(key, resolve)))

  /** A connection behind which the journal says what the agent was given before. */
  async function open(): Promise<AgentInput> {
    const late = AbortSignal.any([run.signal, AbortSignal.timeout(SYNC_TIMEOUT_MS)])
    for (;;) {
      await run.confirmClaim()
      const opened = await pipe.input()
      const mark = `# ${randomUUID()}`
      opened.write(`\n${mark}${LINE_END}`)
      const isThere = await Promise.race([isGiven(mark).then(() => true), opened.broken.then(() => false), aborted(late).catch(() => false)])
      if (isThere) {
        synced.resolve()
        return opened
      }
      opened.close()
      run.signal.throwIfAborted()
      if (late.aborted || (await pipe.ending()) !== undefined) throw silent()
      await delay(REOPEN_MS) // the connection broke, not the agent
    }
  }
  async function connection(): Promise<AgentInput> {
    input ??= open()
    return input.catch((error: unknown) => {
      input = undefined
      throw error
    })
  }
  return {
    send: async (key, message) => {
      for (;;) {
        const there = await connection()
        if (known.has(key)) return
        if (saidBefore !== undefined && key === requestKey(saidBefore)) throw new TaskFailure('backend_lost', 'the worker that went on with the session was lost before it could say so to the agent')
        await run.confirmClaim()
        run.signal.throwIfAborted()
        there.write(`${JSON.stringify(message)}${LINE_END}`)
        const isThere = await Promise.race([isGiven(key).then(() => true), there.broken.then(() => false), aborted(run.signal)])
        if (isThere) return
        input = undefined // the next connection's journal tells whether it arrived
      }
    },
    noted: (line) => {
      const key = keyOf(line)
      if (key === undefined) return
      known.add(key)
      waiting.get(key)?.()
      waiting.delete(key)
    },
    has: (key) => known.has(key),
    synced: synced.promise,
    close: () => void input?.then((there) => there.close(), () => {}),
  }
}

/** Which of our lines it is, from its head; undefined for anything else. */
function keyOf(line: string): string | undefined {
  if (!line.startsWith(SENT)) return undefined
  const head = line.slice(SENT.length)
  if (head.startsWith('#')) return head
  const [, id, , method] = HEAD.exec(head) ?? []
  return id === undefined ? undefined : `${method === undefined ? 'answer' : 'ask'} ${id}`
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    if (signal.aborted) reject(signal.reason as Error)
    else signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
  })
}

function silent(): TaskFailure {
  return new TaskFailure('backend_unavailable', 'the agent\'s container does not take its input')
}
