import { setTimeout as delay } from 'node:timers/promises'
import { type AgentMessage, type RunContext, TaskFailure } from '@longshore/contracts'
import type { Ending } from './ending.ts'
import { nextPromptIds, type PromptIds } from './prompt.ts'
import { asCallFailure, type SessionApi, statusOf } from './session-api.ts'

// What an agent is told while it works is stored by the server at once, and is the newest user message at the agent's next step. It must not be told
// twice: the ids are chosen once and stored in the handle before anything is sent. Whoever tells the same mailbox entry again, also after a takeover
// or a resume, looks for them, and sends with the same ids what is not there. The server keeps the message that it has, so the late request of a
// worker that was suspended in between adds nothing. That it is not lost at the end of a run is kept by `ending.ts`.

/** For what was sent without an answer to show up; whatever is on its way after the call's own 15 s comes within this or not at all. */
const LOST_MS = 30_000
/** Between the server's answer and the message in its store 1.1 s was seen. */
const SHOWN_MS = 10_000
const LOOK_AGAIN_MS = 100
/** Enough to find the newest id. */
const RECENT_MESSAGES = 6

/** What a session was last told, or is about to be. `id`: of the mailbox entry. */
export interface Told extends PromptIds { id: string }

export interface SteeringOptions {
  api: Pick<SessionApi, 'has' | 'messages' | 'prompt'>
  sessionId: string
  /** The prompt of this run: nothing is told before the session has it. */
  prompt: string
  /** What an earlier owner told last. */
  told: Told | undefined
  /** Stores in the handle what is about to be told. Rejects when the claim is lost. */
  keep(told: Told): Promise<void>
  run: Pick<RunContext, 'confirmClaim' | 'signal'>
  ending: Ending
  /** A clock that only goes forward, in ms. */
  now(): number
}

/** Tells a session something while somebody else judges when it is over. */
export interface Steering {
  /** @throws TaskFailure when the server does not answer */
  tell(message: AgentMessage): Promise<'delivered' | 'over'>
  told(): Told | undefined
}

/** @throws TaskFailure where the server failed */
function reached<T>(answer: Promise<T>): Promise<T> {
  return answer.catch((error: unknown) => Promise.reject(asCallFailure(error, 'take a message')))
}

/** What was refused will not come; of what a proxy in between did not see answered nobody knows. */
function isRefusal(error: unknown): boolean {
  const status = statusOf(error)
  return status !== undefined && status < 500
}

export function createSteering({ api, sessionId, prompt, keep, run, ending, now, ...start }: SteeringOptions): Steering {
  let { told } = start
  let first: { message: string; until: number } | undefined
  const has = (message: string): Promise<boolean> => reached(api.has(sessionId, message))
  const isThere = async (id: string): Promise<boolean> => told?.id === id && (await has(told.message))

  async function shown(message: string): Promise<void> {
    for (const end = now() + SHOWN_MS; !(await has(message)); await delay(LOOK_AGAIN_MS)) {
      run.signal.throwIfAborted()
      if (now() > end) throw new TaskFailure('backend_unavailable', 'the OpenCode server took a message and does not show it')
    }
  }

  async function idsFor(id: string): Promise<Told> {
    if (told?.id === id) return told
    await shown(prompt)
    const next = { id, ...nextPromptIds(await reached(api.messages(sessionId, RECENT_MESSAGES))) }
    run.signal.throwIfAborted() // what is stored after this stands before the mark of an owner who lets go
    await keep(next)
    told = next
    return next
  }

  async function send({ message, part }: Told, text: string): Promise<'delivered'> {
    if (first?.message !== message) first = { message, until: now() + LOST_MS }
    // The first try and those that follow have one time together: a server that never shows it must not keep the end for ever.
    const { until } = first
    ending.hold(message, now() > until ? until : Infinity)
    try {
      await reached(api.prompt(sessionId, message, part, text).catch((error: unknown) => {
        if (isRefusal(error)) ending.settle()
        throw error
      }))
      await shown(message)
      ending.settle()
    } catch (error) {
      if (ending.isAwaiting()) ending.hold(message, until)
      throw error
    }
    return 'delivered'
  }

  return {
    told: () => told,
    tell: async ({ id, text }) => {
      if (ending.hasEnded()) return (await isThere(id).catch(() => false)) ? 'delivered' : 'over' // its place may be gone by now
      if (await isThere(id)) return 'delivered'
      const ids = await idsFor(id)
      await run.confirmClaim()
      run.signal.throwIfAborted()
      return ending.hasEnded() ? 'over' : send(ids, text) // nothing is awaited between this and the sending
    },
  }
}
