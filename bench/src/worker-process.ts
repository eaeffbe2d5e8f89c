import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import process from 'node:process'

import { freePort } from '@longshore/redis-server'
import { waitFor } from '@longshore/testkit'

export interface WorkerProcess {
  name: string
  pid: number
  /** A figure of its /metrics; NaN when there is none of that name. */
  metric(name: string): Promise<number>
  kill(): Promise<void>
  stop(): Promise<void>
}

const MAIN = join(import.meta.dirname, '../../apps/worker/src/main.ts')
let count = 0

/** The worker as it ships, in a process of its own. @param until `ready`: its modes were probed, too */
export async function startWorkerProcess(env: Readonly<Record<string, string>>, until: 'health' | 'ready' = 'health'): Promise<WorkerProcess> {
  const [port, name] = [await freePort(), `bench-${++count}`]
  const child = spawn(process.execPath, [MAIN], {
    env: { PATH: process.env['PATH'], LONGSHORE_DEPLOYMENT: 'bench', LOG_LEVEL: 'warn', WORKER_NAME: name, WORKER_HEALTH_PORT: String(port), ...env },
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  const url = `http://127.0.0.1:${port}`
  await waitFor(async () => (await fetch(`${url}/${until}`)).ok, { timeoutMs: 60_000, what: 'the worker to answer' }).catch((error: unknown) => {
    child.kill('SIGKILL')
    throw error
  })
  const end = async (signal: 'SIGKILL' | 'SIGTERM') => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill(signal)
    await once(child, 'exit')
  }
  return {
    name,
    pid: child.pid ?? Number.NaN,
    metric: async (metric) => {
      const text = await (await fetch(`${url}/metrics`)).text()
      return Number(new RegExp(`^${metric}(?:\\{[^}]*\\})? (\\S+)$`, 'm').exec(text)?.[1] ?? Number.NaN)
    },
    kill: () => end('SIGKILL'),
    stop: () => end('SIGTERM'),
  }
}
