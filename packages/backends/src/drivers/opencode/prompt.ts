import { randomBytes } from 'node:crypto'
import type { Message } from './message.ts'
import { asCallFailure, type SessionApi } from './session-api.ts'

/** The ids of a prompt, chosen before it is sent: a repetition does nothing, and what is said after it is told from what was said before. */
export interface PromptIds { message: string; part: string }

/** For the first prompt of a session; `createdAt`: Unix ms by the server's clock, from which its own ids go on. */
export function firstPromptIds(createdAt: number): PromptIds {
  return idsAt(BigInt(Math.trunc(createdAt)) * 4096n)
}

/** For a prompt behind all of these messages, whatever the clocks of this host and of the server say. */
export function nextPromptIds(messages: readonly Message[]): PromptIds {
  const times = messages.map(({ info }) => BigInt(`0x${/^msg_([0-9a-f]{12})/.exec(info.id)?.[1] ?? '0'}`))
  return idsAt(times.reduce((latest, time) => (time > latest ? time : latest), 0n) + 1n)
}

/** Whether a message was there before the prompt of that id. */
export function isBefore({ info }: Message, prompt: string): boolean {
  return info.id < prompt
}

/** Whether a message is an answer to the prompt of that id, or to a later one. */
export function answers({ info }: Message, prompt: string): boolean {
  return info.role === 'assistant' && (info.parentID ?? info.id) >= prompt
}

/** Sends it; returns before the agent begins. @throws TaskFailure */
export async function sendPrompt(api: SessionApi, { session, message, part }: PromptIds & { session: string }, text: string): Promise<void> {
  await api.prompt(session, message, part, text).catch((error: unknown) => Promise.reject(asCallFailure(error, 'take the prompt')))
}

/** Ids as OpenCode makes them, which it sorts by: 48 bits of milliseconds times 4096, then 14 characters of chance. */
function idsAt(time: bigint): PromptIds {
  const id = (): string => `${(time & 0xffffffffffffn).toString(16).padStart(12, '0')}${randomBytes(7).toString('hex')}`
  return { message: `msg_${id()}`, part: `prt_${id()}` }
}
