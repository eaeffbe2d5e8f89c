import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Webhook } from 'standardwebhooks'

export interface Hook { type: string; timestamp: string; data: { task_id: string; agent_id: string; status: string; event: { seq: number; id: string; data: object } } }
export interface Received { id: string; timestamp: number; hook: Hook; path: string }

export interface Receiver {
  url: string
  /** What came and was verified, in order, also what was then not taken. */
  received: Received[]
  /** How it answers; 204 at first. */
  answer: (response: ServerResponse, one: Received) => void
  stop(): Promise<void>
}

/** A real receiver that believes only what the scheme's own library verifies. */
export async function startReceiver(secret: string): Promise<Receiver> {
  const webhook = new Webhook(secret)
  const receiver: Omit<Receiver, 'url'> = {
    received: [],
    answer: (response) => void response.writeHead(204).end(),
    stop: () => new Promise((resolve) => (server.close(() => resolve()), server.closeAllConnections())),
  }
  const handle = async (request: IncomingMessage, response: ServerResponse) => {
    const body = Buffer.concat(await request.toArray() as Buffer[]).toString()
    const headers = { id: String(request.headers['webhook-id']), timestamp: String(request.headers['webhook-timestamp']), signature: String(request.headers['webhook-signature']) }
    const hook = webhook.verify(body, { 'webhook-id': headers.id, 'webhook-timestamp': headers.timestamp, 'webhook-signature': headers.signature }) as Hook
    const one = { id: headers.id, timestamp: Number(headers.timestamp), hook, path: request.url ?? '' }
    receiver.received.push(one)
    receiver.answer(response, one)
  }
  const server = createServer((request, response) => void handle(request, response).catch(() => response.writeHead(400).end()))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return Object.assign(receiver, { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hooks` })
}

export const aSecret = (): string => `whsec_${Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString('base64')}`
