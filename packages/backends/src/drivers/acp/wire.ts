import type { AnyMessage, Stream } from '@agentclientprotocol/sdk'
import { z } from 'zod'
import { answerKey, requestKey, type Sender } from './sender.ts'

/**
 * The protocol's stream over an agent that outlives us. Every request has the same id whoever sends it, and is sent once: an adopter has the
 * same conversation as its predecessor, and what that one sent or heard already comes out of the journal (G5, G7).
 */
export interface Wire {
  readonly stream: Stream
  /** A message of the agent, also those that an earlier owner heard. */
  heard(message: object): void
}

/** A conversation has a handful of requests; an agent that makes up answers to others is not to fill memory. */
const MAX_ANSWERS = 32
/** Questions that wait for their answer to arrive; an agent that asks on and on hears nothing more. */
const MAX_QUESTIONS = 1_000
const Envelope = z.looseObject({ id: z.union([z.string().max(1_000), z.number()]).nullish(), method: z.string().optional() })
type Envelope = z.infer<typeof Envelope>

export function createWire(sender: Sender): Wire {
  const answers = new Map<string, Envelope>()
  const asked = new Map<string, unknown>()
  let questions = 0
  let client: ReadableStreamDefaultController<AnyMessage> | undefined
  // The client checks what it gets.
  const pass = (message: Envelope): void => client?.enqueue(message as unknown as AnyMessage)

  async function outgoing(message: AnyMessage): Promise<void> {
    const { id, method, jsonrpc: _version, ...rest } = Envelope.parse(message)
    if (id === undefined || id === null) return // nothing of ours is a notification that an agent must have
    if (method === undefined) return sender.send(answerKey(id), { jsonrpc: '2.0', id, ...rest }).finally(() => { questions -= 1 })
    asked.set(method, id)
    const answer = answers.get(method)
    if (answer === undefined) return sender.send(requestKey(method), { jsonrpc: '2.0', id: method, method, ...rest })
    return pass({ ...answer, id })
  }
  async function question(id: string | number, message: Envelope): Promise<void> {
    await sender.synced // before that nobody knows whether somebody answered it
    if (sender.has(answerKey(id)) || questions >= MAX_QUESTIONS) return
    questions += 1
    pass(message)
  }
  return {
    stream: {
      readable: new ReadableStream<AnyMessage>({ start: (controller) => { client = controller }, cancel: () => { client = undefined } }),
      writable: new WritableStream<AnyMessage>({ write: outgoing }),
    },
    heard: (raw) => {
      const message = Envelope.safeParse(raw).data
      const id = message?.id
      if (message === undefined || id === undefined || id === null) return
      if (message.method !== undefined) void question(id, message)
      else if (typeof id === 'string' && asked.has(id)) pass({ ...message, id: asked.get(id) as number })
      else if (typeof id === 'string' && answers.size < MAX_ANSWERS) answers.set(id, message)
    },
  }
}
