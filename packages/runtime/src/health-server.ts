import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Registry } from 'prom-client'

import type { Readiness } from './readiness.ts'

export interface HealthServer { port: number; stop(): Promise<void> }

/** `/health` (the process lives), `/ready` (200 or 503 with reasons), `/metrics`, for apps that serve nothing else. */
export async function serveHealth(options: {
  host: string; port: number; registry: Registry; health: () => object; ready: () => Promise<Readiness>
}): Promise<HealthServer> {
  const server = createServer((request, response) => {
    const json = (status: number, body: unknown) => response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    const answer = async () => {
      switch (request.url) {
        case '/health': return json(200, options.health())
        case '/ready': { const readiness = await options.ready(); return json(readiness.ready ? 200 : 503, readiness) }
        case '/metrics': return response.writeHead(200, { 'content-type': options.registry.contentType }).end(await options.registry.metrics())
        case undefined: default: return json(404, { error: { code: 'unknown_operation', message: 'here are /health, /ready and /metrics' } })
      }
    }
    answer().catch((error: unknown) => json(500, { error: { code: 'internal', message: String(error) } }))
  })
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(options.port, options.host, resolve))
  const { port } = server.address() as AddressInfo
  return {
    port,
    stop: () => new Promise((resolve) => {
      server.close(() => resolve())
      server.closeAllConnections()
    }),
  }
}
