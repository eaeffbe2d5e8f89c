import { setTimeout as delay } from 'node:timers/promises'
import type { RequestPermissionRequest, RequestPermissionResponse } from '@agentclientprotocol/sdk'
import { type AgentAsk, MAX_QUESTION_CHARACTERS, type PermissionPolicy, type RunContext } from '@longshore/contracts'
import { clip } from '../../text.ts'
import { createKick } from '../opencode/kick.ts'
import { createKnownCalls } from './known-calls.ts'
import { answerWith } from './permission.ts'
import { answerKey, type Sender } from './sender.ts'
import { Call, decideWish, type Wish, wishOf } from './wish.ts'

/** An agent that asks more at a time is refused the rest. */
const MAX_WAITING = 100
/** What waits is told again so often: whoever deals with it may have been unable to. */
const AGAIN_MS = 5_000
const TITLE_CHARACTERS = 300
const CANCELLED: RequestPermissionResponse = { outcome: { outcome: 'cancelled' } }

export interface AsksOptions {
  /** Names the execution: an agent that is started again counts its requests anew. */
  pipeId: string
  layers: readonly PermissionPolicy[]
  cwd: string
  sender: Pick<Sender, 'send'>
  run: Pick<RunContext, 'signal' | 'emit' | 'onAsks'>
  clean(text: string): string
  /** Somebody waits, or has what it waited for: a sign of life. */
  changed(): void
}

/** What of an agent's requests for permission the policies settle, and what waits for a person. */
export interface Asks {
  /** What the agent says of its tools. */
  heard(message: object): void
  /** Resolves with the answer, whoever gives it; `signal`: the agent does not wait any more. */
  request(request: RequestPermissionRequest, id: RequestId, signal: AbortSignal): Promise<RequestPermissionResponse>
  isWaiting(): boolean
  /** Tells what waits, after each change and now and then. Rejects when the signal aborts or the claim is lost. */
  tellOn(signal: AbortSignal): Promise<never>
}

type RequestId = string | number | null

export function createAsks({ pipeId, layers, cwd, sender, run, clean, changed }: AsksOptions): Asks {
  const calls = createKnownCalls()
  const kick = createKick()
  const waiting = new Map<string, AgentAsk>()
  let hasAsked = false
  const note = (): void => {
    changed()
    kick.kick()
  }

  /** The same key and the same answer as the client library gives then: whoever is first sends it, once. */
  async function give(id: RequestId, result: RequestPermissionResponse): Promise<void> {
    if (id !== null) await sender.send(answerKey(id), { jsonrpc: '2.0', id, result })
  }
  function wait(id: RequestId, request: RequestPermissionRequest, shown: Pick<AgentAsk, 'question' | 'tool' | 'subjects'>, signal: AbortSignal): Promise<RequestPermissionResponse> {
    const name = `${pipeId} ${JSON.stringify(id)}`
    const { promise, resolve } = Promise.withResolvers<RequestPermissionResponse>()
    let isTaken = false
    const end = (answer: RequestPermissionResponse): void => {
      isTaken = true
      waiting.delete(name)
      note()
      resolve(answer)
    }
    signal.addEventListener('abort', () => end(CANCELLED), { once: true })
    if (signal.aborted) return Promise.resolve(CANCELLED)
    hasAsked = true
    waiting.set(name, {
      id: name, kind: 'permission', choices: [], freeText: false, multiple: false, ...shown,
      answer: async ({ choices: [choice] }) => {
        if (isTaken || signal.aborted) return 'gone'
        isTaken = true
        const answer = answerWith(request, choice === 'allow' || choice === 'always' ? 'allow' : 'deny')
        await give(id, answer).catch((error: unknown) => {
          isTaken = false
          throw error
        })
        end(answer)
        return 'answered'
      },
    })
    note()
    return promise
  }
  async function refuse(id: RequestId, request: RequestPermissionRequest, tool: string, question: string): Promise<RequestPermissionResponse> {
    const answer = answerWith(request, 'deny')
    await give(id, answer)
    // Refused without anybody's word: whoever reads the log is to see why the agent went another way.
    await run.emit([{ type: 'task.tool', payload: { tool, title: clip(question, TITLE_CHARACTERS), status: 'error', output: 'refused by the policy' } }])
    return answer
  }
  return {
    heard: calls.heard,
    request: async (request, id, signal) => {
      const wish = wishOf(calls.complete(Call.parse(request.toolCall)), cwd)
      const { action, tool, isClear } = decideWish(layers, wish)
      const question = clean(clip(questionOf(tool, wish, request), MAX_QUESTION_CHARACTERS))
      if (action === 'allow') return answerWith(request, 'allow')
      if (action === 'deny' || waiting.size >= MAX_WAITING) return refuse(id, request, tool, question)
      return wait(id, request, { question, ...(isClear ? { tool, subjects: wish.subjects ?? [] } : {}) }, signal)
    },
    isWaiting: () => waiting.size > 0,
    tellOn: async (signal) => {
      for (;;) {
        await kick.wait(AGAIN_MS, signal)
        await delay(0) // what was asked at once is told at once: an adopter's first list is whole
        signal.throwIfAborted()
        if (hasAsked) await run.onAsks([...waiting.values()])
      }
    },
  }
}

function questionOf(tool: string, { subjects }: Wish, { toolCall }: RequestPermissionRequest): string {
  return `${tool}: ${subjects === undefined ? (toolCall.title ?? '') : subjects.join(', ')}`
}
