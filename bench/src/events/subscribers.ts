import { once } from 'node:events'
import { Agent, type ClientRequest, type IncomingMessage, request } from 'node:http'

import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { createParser } from 'eventsource-parser'

/** Somebody who is told of what happens. */
export interface Subscriber { close(): void }

/** Told at once for each event, with its `seq` where the subscriber learns that. */
export type OnNews = (seq: number | undefined) => void

const agent = new Agent({ maxSockets: Number.POSITIVE_INFINITY })

/** Reads `GET /api/tasks/{id}/events` from now on. */
export async function subscribeSse(url: string, key: string, taskId: string, onNews: OnNews): Promise<Subscriber> {
  const stream: ClientRequest = request(`${url}/api/tasks/${taskId}/events?cursor=now`, { agent, headers: { authorization: `Bearer ${key}` } })
  stream.end()
  const [response] = (await once(stream, 'response')) as [IncomingMessage]
  if (response.statusCode !== 200) throw new Error(`a stream was refused with ${response.statusCode}`)
  const parser = createParser({ onEvent: ({ event, data }) => { if (event === 'task.output') onNews((JSON.parse(data) as { seq: number }).seq) } })
  response.setEncoding('utf8').on('data', (text: string) => parser.feed(text)).on('error', () => undefined)
  stream.on('error', () => undefined)
  return { close: () => stream.destroy() }
}

/** Listens as clients of the 2026-07-28 revision do. */
export async function subscribeMcp(url: string, key: string, taskId: string, onNews: OnNews): Promise<Subscriber> {
  const client = new Client({ name: 'bench', version: '1.0.0' }, { versionNegotiation: { mode: { pin: '2026-07-28' } } })
  client.setNotificationHandler('notifications/resources/updated', () => onNews(undefined))
  await client.connect(new StreamableHTTPClientTransport(new URL('/mcp', url), { requestInit: { headers: { authorization: `Bearer ${key}` } } }))
  await client.listen({ resourceSubscriptions: [`task://${taskId}`] })
  return { close: () => void client.close() }
}
