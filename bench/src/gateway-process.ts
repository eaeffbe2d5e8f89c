import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { createApiKeys } from '@longshore/ledger'
import { freePort } from '@longshore/redis-server'
import { waitFor } from '@longshore/testkit'
import { Redis } from 'ioredis'

export interface GatewayProcess {
  pid: number
  url: string
  /** Of the agent `agent-bench`. */
  key: string
  /** One MCP `tools/call`, as a client of the stateless legacy era sends it. @returns the structured result */
  call(tool: string, input: object): Promise<Record<string, unknown>>
  /** A GET of its HTTP API with the agent's key. */
  get(path: string): Promise<Response>
  stop(): Promise<void>
}

const MAIN = fileURLToPath(new URL('../../apps/gateway/src/main.ts', import.meta.url))

/** The gateway as it ships, in a process of its own, with an agent's key. @param env more of its environment */
export async function startGateway(redisUrl: string, deployment: string, env: Readonly<Record<string, string>> = {}): Promise<GatewayProcess> {
  const redis = new Redis(redisUrl)
  const { key } = await createApiKeys(redis, deployment).make({ agentId: 'agent-bench' }, 'bench')
  redis.disconnect()
  const port = await freePort()
  const child = spawn(process.execPath, [MAIN], {
    env: { ...process.env, REDIS_URL: redisUrl, MCP_PORT: String(port), LONGSHORE_DEPLOYMENT: deployment, LOG_LEVEL: 'warn', ...env }, stdio: ['ignore', 'inherit', 'inherit'],
  })
  const url = `http://127.0.0.1:${port}`
  await waitFor(async () => (await fetch(`${url}/ready`).catch(() => undefined))?.ok === true, { timeoutMs: 20_000, what: 'the gateway to be ready' }).catch((error: unknown) => {
    child.kill('SIGKILL')
    throw error
  })
  return {
    pid: child.pid ?? Number.NaN, url, key,
    call: (tool, input) => callTool(`${url}/mcp`, key, tool, input),
    get: (path) => fetch(`${url}${path}`, { headers: { authorization: `Bearer ${key}` } }),
    async stop() {
      child.kill('SIGTERM')
      if (child.exitCode === null) await once(child, 'exit')
    },
  }
}

async function callTool(url: string, key: string, name: string, input: object): Promise<Record<string, unknown>> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', accept: 'application/json, text/event-stream', 'mcp-protocol-version': '2025-06-18' },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name, arguments: input } }),
  })
  const text = await response.text()
  const json = text.startsWith('event:') || text.startsWith('data:') ? text.split('\n').find((line) => line.startsWith('data:'))?.slice(5) : text
  const answer = JSON.parse(json ?? '{}') as { result?: { isError?: boolean; structuredContent?: Record<string, unknown> } }
  if (answer.result === undefined || answer.result.isError === true) throw new Error(`${name} was refused: ${text.slice(0, 400)}`)
  return answer.result.structuredContent ?? {}
}
