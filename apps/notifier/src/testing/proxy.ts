import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

interface SeenCall { method: string; path: string; status: number }

/** What the proxy does with one call; `pass` forwards it and gives the answer that the real server gave. */
export type Hook = (call: { method: string; path: string }, pass: () => Promise<Answer>) => Promise<Answer | 'drop'>
interface Answer { status: number; body: string; headers?: Record<string, string> }

export interface Proxy { url: string; calls: SeenCall[]; hook: Hook; /** As a server that is tired of waiting. */ dropIdle(): void; stop(): Promise<void> }

/** Stands between a notifier and the real homeserver, so that a test can act between two steps of one call. */
export async function startProxy(target: string): Promise<Proxy> {
  const proxy: Omit<Proxy, 'url'> = {
    calls: [],
    hook: (_, pass) => pass(),
    dropIdle: () => server.closeIdleConnections(),
    stop: () => new Promise((resolve) => (server.close(() => resolve()), server.closeAllConnections())),
  }
  const handle = async (request: IncomingMessage, response: ServerResponse) => {
    const body = Buffer.concat(await request.toArray() as Buffer[])
    const [method, path] = [request.method ?? '', request.url ?? '']
    const pass = async (): Promise<Answer> => {
      const answer = await fetch(target + path, { method, headers: { authorization: request.headers.authorization ?? '' }, ...(body.length === 0 ? {} : { body }) })
      return { status: answer.status, body: await answer.text() }
    }
    const answer = await proxy.hook({ method, path }, pass)
    if (answer === 'drop') return request.socket.destroy()
    proxy.calls.push({ method, path, status: answer.status })
    return response.writeHead(answer.status, { 'content-type': 'application/json', ...answer.headers }).end(answer.body)
  }
  const server = createServer((request, response) => void handle(request, response).catch(() => request.socket.destroy()))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return Object.assign(proxy, { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` })
}

export const isSend = ({ method, path }: { method: string; path: string }): boolean => method === 'PUT' && path.includes('/send/')
