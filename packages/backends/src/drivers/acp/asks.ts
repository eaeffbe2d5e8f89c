import { setTimeout as delay } from 'node:timers/promises'
import type { RequestPermissionRequest, RequestPermissionResponse } from '@agentclientprotocol/sdk'
import { MAX_QUESTION_CHARACTERS, type PermissionPolicy, type RunContext } from '@longshore/contracts'
import { clip } from '../../text.ts'
import { createKick } from '../opencode/kick.ts'
import { createKnownCalls } from './known-calls.ts'
import { answerWith } from './permission.ts'
import type { Sender } from './sender.ts'
import { createWaiting, give, type Request } from './waiting.ts'
import { Call, decideWish, type Wish, wishOf } from './wish.ts'

/** An agent that asks more at a time is refused the rest. */
const MAX_WAITING = 100
/** What waits is told again so often: whoever deals with it may have been unable to. */
const AGAIN_MS = 5_000
const TITLE_BYTES = 300

export interface AsksOptions {
  /** Names the execution. */
  pipeId: string
  layers: readonly PermissionPolicy[]
  cwd: string
  sender: Pick<Sender, 'send'>
  run: Pick<RunContext, 'emit' | 'onAsks'>
  clean(text: string): string
  /** Somebody waits, or has what it waited for: a sign of life. */
  changed(): void
}

/** What of an agent's requests for permission the policies settle, and what waits for a person. */
export interface Asks {
  /** What the agent says of its tools. */
  heard(message: object): void
  /** Resolves with the answer, whoever gives it. */
  request(request: Request): Promise<RequestPermissionResponse>
  isWaiting(): boolean
  /** Tells what waits, after each change and now and then. Rejects when the signal aborts or the claim is lost. */
  tellOn(signal: AbortSignal): Promise<never>
}

export function createAsks({ pipeId, layers, cwd, sender, run, clean, changed }: AsksOptions): Asks {
  const calls = createKnownCalls()
  const kick = createKick()
  let hasAsked = false
  const waiting = createWaiting(pipeId, sender, () => {
    hasAsked = true
    changed()
    kick.kick()
  })

  async function refuse({ id, params }: Request, tool: string, question: string): Promise<RequestPermissionResponse> {
    const answer = answerWith(params, 'deny')
    await give(sender, id, answer)
    // Refused without anybody's word: whoever reads the log is to see why the agent went another way.
    await run.emit([{ type: 'task.tool', payload: { tool, title: clip(question, TITLE_BYTES), status: 'error', output: 'refused by the policy' } }])
    return answer
  }
  return {
    heard: calls.heard,
    request: async (request) => {
      const wish = wishOf(calls.complete(Call.parse(request.params.toolCall)), cwd)
      const { action, tool, isClear } = decideWish(layers, wish)
      if (action === 'allow') return answerWith(request.params, 'allow')
      const question = clean(clip(questionOf(tool, wish, request.params), MAX_QUESTION_CHARACTERS))
      if (action === 'deny' || waiting.list().length >= MAX_WAITING) return refuse(request, tool, question)
      return waiting.add(request, { question, ...(isClear ? { tool, subjects: wish.subjects ?? [] } : {}) })
    },
    isWaiting: () => waiting.list().length > 0,
    tellOn: async (signal) => {
      for (;;) {
        await kick.wait(AGAIN_MS, signal)
        await delay(0) // what was asked at once is told at once: an adopter's first list is whole
        signal.throwIfAborted()
        if (hasAsked) await run.onAsks(waiting.list())
      }
    },
  }
}

function questionOf(tool: string, { subjects }: Wish, { toolCall }: RequestPermissionRequest): string {
  return `${tool}: ${subjects === undefined ? (toolCall.title ?? '') : subjects.join(', ')}`
}
