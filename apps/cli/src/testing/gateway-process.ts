import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '@longshore/redis-server'
import { sharedRedisUrl, waitFor } from '@longshore/testkit'
import { longshore } from './run-longshore.ts'

/** A real gateway without a worker: what is submitted stays queued until somebody ends it. */
export interface GatewayProcess {
  /** What a command needs to reach it, with an operator's and an agent's key (agent-7). */
  env: Record<string, string>
  deployment: string
  /** It dies, and another one comes up on its port. */
  replace(): Promise<void>
  stop(): Promise<void>
}

export async function startGateway(): Promise<GatewayProcess> {
  const home = await mkdtemp(join(tmpdir(), 'longshore-tasks-'))
  const port = String(await freePort())
  const deployment = `t-${randomUUID().slice(0, 20)}`
  const env: Record<string, string> = { LONGSHORE_HOME: home, REDIS_URL: sharedRedisUrl(), LONGSHORE_DEPLOYMENT: deployment, MCP_PORT: port, PATH: process.env['PATH'] ?? '' }
  const start = async () => {
    const started = spawn(process.execPath, [join(import.meta.dirname, '../../../gateway/src/main.ts')], { env, stdio: 'ignore' })
    await waitFor(async () => (await fetch(`http://127.0.0.1:${port}/health`)).ok, { what: 'the gateway', timeoutMs: 60_000 })
    return started
  }
  let gateway = await start()
  const end = async (signal: 'SIGTERM' | 'SIGKILL') => {
    gateway.kill(signal)
    if (gateway.exitCode === null && gateway.signalCode === null) await once(gateway, 'exit')
  }
  for (const [name, args] of [['LONGSHORE_API_KEY', ['--operator']], ['LONGSHORE_AGENT_KEY', ['--agent', 'agent-7', '--name', 'for the tests']]] as const) {
    env[name] = (await longshore(['keys', 'make', ...args], env)).said.trim()
  }
  return {
    env, deployment,
    async replace() {
      await end('SIGKILL')
      gateway = await start()
    },
    async stop() {
      await end('SIGTERM')
      await rm(home, { recursive: true, force: true })
    },
  }
}
