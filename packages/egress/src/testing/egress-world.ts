import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type RequestListener, request, type Server } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { type Admission, type DeploymentId, SILENT, taskIdFrom } from '@longshore/contracts'
import { connectRedis } from '@longshore/runtime'
import { sharedRedisUrl } from '@longshore/testkit'
import { parseRange } from '../address.ts'
import { createAgents } from '../agents.ts'
import { parseAllowed } from '../allow-list.ts'
import { createGrants, createPasses, type Grants } from '../grants.ts'
import { createProxy, type Proxy } from '../proxy.ts'
import type { Resolve } from '../resolve.ts'
import type { Upstream } from '../upstream.ts'

export const LOOPBACK = '127.0.0.1'

export interface Reply { status: number; headers: IncomingHttpHeaders; body: string }

/** Redis, and whatever a test opened: closed by `stop`. */
export function egressWorld(redisUrl = sharedRedisUrl()) {
  const deployment: DeploymentId = `test-${randomBytes(8).toString('hex')}`
  const redis = connectRedis(redisUrl, 'background', SILENT)
  const grants: Grants = createGrants(redis, deployment, { normal: 'provider', most: 'full' })
  const closing: (() => unknown)[] = [() => redis.disconnect()]
  const listen = async (server: Server): Promise<number> => {
    server.listen(0, LOOPBACK)
    await once(server, 'listening')
    return portOf(server)
  }
  return {
    deployment, redis, grants, redisUrl,
    /** A server of the world outside. */
    serve: async (listener: RequestListener): Promise<{ port: number; server: Server }> => {
      const server = createServer(listener)
      closing.unshift(() => {
        server.close()
        server.closeAllConnections()
      })
      return { port: await listen(server), server }
    },
    proxy: async (options: { upstreams?: Upstream[]; allow?: string[]; ranges?: string[]; resolve?: Resolve } = {}): Promise<Proxy & { port: number }> => {
      const { upstreams = [], allow = [], ranges = [], resolve } = options
      const proxy = createProxy({
        passes: createPasses(redis, deployment, Date.now), upstreams, allow: allow.map(parseAllowed), ranges: ranges.map(parseRange),
        agents: createAgents({}), ...(resolve === undefined ? {} : { resolve }),
      })
      closing.unshift(proxy.close)
      return { ...proxy, port: await listen(proxy.server) }
    },
    admit: async (wish: Partial<Admission> = {}): Promise<{ token: string; execution: Admission }> => {
      const execution: Admission = { taskId: taskIdFrom(randomBytes(52)), claim: 1, address: LOOPBACK, expiresAt: Date.now() + 60_000, ...wish }
      return { execution, token: await grants.admit(execution) }
    },
    stop: async () => {
      for (const close of closing) await close()
    },
  }
}

export type EgressWorld = ReturnType<typeof egressWorld>

export function portOf(server: Server): number {
  return (server.address() as AddressInfo).port
}

export const basic = (token: string): string => `Basic ${Buffer.from(`longshore:${token}`).toString('base64')}`

export interface Ask { method?: string; path: string; headers?: Record<string, string>; body?: string }

/** The answer as it begins: its body is still to be read. */
export async function begin(port: number, { method = 'GET', path, headers = {}, body }: Ask): Promise<IncomingMessage> {
  const asked = request({ host: LOOPBACK, port, method, path, headers, agent: false })
  asked.end(body)
  return new Promise<IncomingMessage>((resolve, reject) => asked.once('response', resolve).once('error', reject))
}

export async function ask(port: number, what: Ask): Promise<Reply> {
  const answer = await begin(port, what)
  return { status: answer.statusCode ?? 0, headers: answer.headers, body: await text(answer) }
}

/** CONNECT; the head of the answer, and the tunnel. */
export async function tunnel(port: number, authority: string, token?: string): Promise<{ head: string; socket: Socket }> {
  const socket = connect(port, LOOPBACK)
  socket.on('error', () => {})
  socket.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${token === undefined ? '' : `Proxy-Authorization: ${basic(token)}\r\n`}\r\n`)
  const [chunk] = (await once(socket, 'data')) as [Buffer]
  return { head: chunk.toString('latin1'), socket }
}
