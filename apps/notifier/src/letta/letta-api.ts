import { Letta, APIError } from '@letta-ai/letta-client'

import { cleanLine } from '../render/safe-text.ts'
import type { Outcome } from '../sink.ts'

export interface LettaOptions {
  /** LETTA_API_URL. */
  url: string
  /** undefined: a server of one's own that wants none. */
  token: string | undefined
  /** One call; a message is answered when the agent's turn is over. */
  timeoutMs: number
  /** Ends every call when the process stops. */
  signal: AbortSignal
}

/** What we need of Letta. Each method throws what `troubleOf` understands; none repeats a call by itself (L-31). */
export interface LettaApi {
  /** @returns its id */
  findBlock(label: string): Promise<string | undefined>
  createBlock(block: { label: string; description: string; value: string; limit: number }): Promise<string>
  /** False: there is no such block (any more). */
  writeBlock(blockId: string, block: { value: string; limit: number }): Promise<boolean>
  /** In the agent's memory: it has at most one of that name. @returns its id */
  findAttached(agentId: string, label: string): Promise<string | undefined>
  attach(agentId: string, blockId: string): Promise<void>
  /** Also when it was not attached. */
  detach(agentId: string, blockId: string): Promise<void>
  tell(agentId: string, message: string): Promise<void>
  /** Whether a message with this in it came to the agent since then (ms). */
  wasTold(agentId: string, marker: string, since: number): Promise<boolean>
}

/** How far back is looked. */
const MAX_MESSAGES = 1_000
const PAGE = 100

export function createLettaApi({ url, token, timeoutMs, signal }: LettaOptions): LettaApi {
  // Said in full, so that nothing is taken from the environment; a redirect must not get our token.
  const letta = new Letta({ baseURL: url, apiKey: token ?? null, projectID: null, timeout: timeoutMs, maxRetries: 0, logLevel: 'off', fetchOptions: { redirect: 'error' } })
  return {
    findBlock: async (label) => (await letta.blocks.list({ label, limit: 1 }, { signal })).items.find((block) => block.label === label)?.id,
    createBlock: async (block) => (await letta.blocks.create(block, { signal })).id,
    writeBlock: (blockId, block) => letta.blocks.update(blockId, block, { signal }).then(() => true, (error: unknown) => unless(404, error, false)),
    // One page: servers that know no pages answer with all.
    findAttached: async (agentId, label) => (await letta.agents.blocks.list(agentId, { order: 'desc', limit: PAGE }, { signal })).items.find((block) => block.label === label)?.id,
    attach: async (agentId, blockId) => void (await letta.agents.blocks.attach(blockId, { agent_id: agentId }, { signal })),
    detach: async (agentId, blockId) => void (await letta.agents.blocks.detach(blockId, { agent_id: agentId }, { signal }).catch((error: unknown) => unless(404, error, undefined))),
    tell: async (agentId, message) => void (await letta.agents.messages.create(agentId, { messages: [{ role: 'system', content: message }], streaming: false }, { signal })),
    async wasTold(agentId, marker, since) {
      let seen = 0
      for await (const message of letta.agents.messages.list(agentId, { order: 'desc', limit: PAGE }, { signal })) {
        seen += 1
        // The agent itself may repeat what it read.
        if ((message.message_type === 'system_message' || message.message_type === 'user_message') && JSON.stringify(message.content).includes(marker)) return true
        if ('date' in message && Date.parse(message.date) < since) return false
        if (seen >= MAX_MESSAGES) return false
      }
      return false
    },
  }
}

function unless<T>(status: number, error: unknown, answer: T): T {
  if (error instanceof APIError && error.status === status) return answer
  throw error
}

const DEFAULT_RETRY_AFTER_MS = 5_000
const MAX_RETRY_AFTER_MS = 10 * 60_000

/** The head of an answer came, and then none that can be read: cut, cut off by us, or not JSON. The client leaves that as it is. */
const isHalfAnswer = (error: unknown): boolean =>
  error instanceof SyntaxError || (error instanceof Error && (error.name === 'AbortError' || (error.name === 'TypeError' && error.message === 'terminated')))

/** What a failed call means for what was to be told. */
export function troubleOf(error: unknown): Exclude<Outcome, { kind: 'sent' }> {
  if (isHalfAnswer(error)) return { kind: 'again', reason: cleanLine(`Letta: an answer that cannot be read: ${String(error)}`, 300) }
  if (!(error instanceof APIError)) return { kind: 'refused', reason: `a defect: ${String(error)}` }
  const status: number | undefined = error.status
  const reason = cleanLine(`Letta: ${error.message}`, 300)
  if (status === 429) return { kind: 'limited', afterMs: waitAsked(error.headers?.get('retry-after')) }
  if (status === 401 || status === 403) return { kind: 'blocked', reason: `the token is not accepted; set LETTA_API_TOKEN to one that may read and write agents and blocks, and restart (${reason})` }
  if (status === 404) return { kind: 'refused', reason: `there is no such agent; LETTA_AGENTS says which of our agents is which of Letta's (${reason})` }
  // 409: the agent is at another message.
  if (status === undefined || status >= 500 || status === 408 || status === 409) return { kind: 'again', reason }
  return { kind: 'refused', reason }
}

function waitAsked(retryAfter: string | null | undefined): number {
  const ms = Number(retryAfter ?? Number.NaN) * 1_000
  return Number.isNaN(ms) ? DEFAULT_RETRY_AFTER_MS : Math.min(Math.max(ms, 50), MAX_RETRY_AFTER_MS)
}
