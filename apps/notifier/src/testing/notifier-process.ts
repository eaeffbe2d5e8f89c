import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

import { waitFor } from '@longshore/testkit'

export interface NotifierProcess {
  /** Standard output so far, one JSON record a line. */
  output(): string
  port(): number
  kill9(): Promise<void>
  /** SIGTERM. @returns the exit code */
  stop(): Promise<number | null>
}

const running = new Set<ChildProcess>()
process.once('exit', () => running.forEach((child) => child.kill('SIGKILL')))

/** The real main.ts as a process of its own. Resolves when it is up. */
export async function startNotifierProcess(env: Readonly<Record<string, string>>): Promise<NotifierProcess> {
  const child = spawn(process.execPath, [join(import.meta.dirname, '../main.ts')], { env: { PATH: process.env['PATH'], ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  running.add(child)
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const exited = once(child, 'exit').then(([code]) => (running.delete(child), code as number | null))
  await waitFor(() => output.includes('notifier is up') || child.exitCode !== null, { what: 'the notifier to be up', timeoutMs: 60_000 })
  return {
    output: () => output,
    port: () => Number(/"port":(\d+)/.exec(output)?.[1]),
    kill9: async () => {
      child.kill('SIGKILL')
      await exited
    },
    stop: () => {
      child.kill('SIGTERM')
      return exited
    },
  }
}
