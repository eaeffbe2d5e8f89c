import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

import { freePort } from '@longshore/redis-server'
import { waitFor } from '@longshore/testkit'

export type AppName = 'gateway' | 'worker' | 'notifier'

/** One app as it ships, `apps/<name>/src/main.ts`, in a process of its own. */
export interface AppProcess {
  readonly app: AppName
  /** Such as `worker-2`; a worker is known by it in events too. */
  readonly name: string
  readonly pid: number
  /** Base URL of its listener: the doors of a gateway, health of the others. */
  readonly url: string
  /** What it has written so far. */
  output(): string
  isRunning(): boolean
  /** SIGSTOP, SIGCONT and what else it is sent while it runs. */
  signal(name: NodeJS.Signals): void
  /** SIGKILL; resolves when it is gone. */
  kill9(): Promise<void>
  /** SIGTERM, unless told otherwise, and SIGKILL when it does not leave. @returns its exit code; null when it had to be killed */
  stop(signal?: 'SIGTERM' | 'SIGINT'): Promise<number | null>
}

const THIS_TREE = join(import.meta.dirname, '../../..')
const PORT_VARIABLE: Readonly<Record<AppName, string>> = { gateway: 'MCP_PORT', worker: 'WORKER_HEALTH_PORT', notifier: 'NOTIFIER_HEALTH_PORT' }
/** A cold Node on a busy machine; ready answers in 0.5 to 2 s. */
const START_MS = 90_000
const STOP_MS = 60_000

/** Where an app is started from: another version's tree. `note`: what its reader should know when it does not start. */
export interface Tree { readonly root: string; readonly note: string }

/**
 * Starts an app and waits until it answers `/ready`, or `/health` when `until` says so (it then starts without its parts).
 * @param env all that it gets, besides PATH
 * @param tree default: this one
 * @throws Error with its last words when it ends or does not answer
 */
export async function startApp(app: AppName, name: string, env: Readonly<Record<string, string>>, until: 'ready' | 'health' = 'ready', tree: Tree = { root: THIS_TREE, note: '' }): Promise<AppProcess> {
  const port = await freePort()
  const started = launch(join(tree.root, 'apps', app, 'src/main.ts'), app, name, { [PORT_VARIABLE[app]]: String(port), WORKER_NAME: name, ...env }, `http://127.0.0.1:${port}`)
  const isUp = async (): Promise<boolean> => !started.isRunning() || (await fetch(`${started.url}/${until}`)).ok
  await waitFor(isUp, { what: `${name} to be ${until}`, timeoutMs: START_MS, everyMs: 50 }).catch(async (error: unknown) => {
    await started.kill9()
    throw new Error(`${String(error)}\n${started.output().slice(-3_000)}${tree.note}`, { cause: error })
  })
  if (!started.isRunning()) throw new Error(`${name} ended while it started:\n${started.output().slice(-3_000)}${tree.note}`)
  return started
}

function launch(main: string, app: AppName, name: string, env: Record<string, string>, url: string): AppProcess {
  const child = spawn(process.execPath, [main], { env: { PATH: process.env['PATH'], ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  if (child.pid === undefined) throw new Error(`${name} did not start`)
  const { pid } = child
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => { output += chunk.toString() })
  const exited = once(child, 'exit').then(([code]) => code as number | null)
  const isRunning = (): boolean => child.exitCode === null && child.signalCode === null
  // A crashed or interrupted test run leaves nothing behind.
  const killOnExit = (): void => void child.kill('SIGKILL')
  process.once('exit', killOnExit)
  void exited.then(() => process.off('exit', killOnExit))
  return {
    app, name, pid, url, isRunning,
    output: () => output,
    signal: (sent) => void child.kill(sent),
    async kill9() {
      child.kill('SIGKILL')
      await exited
    },
    async stop(signal = 'SIGTERM') {
      // One that is suspended would not hear it.
      child.kill('SIGCONT')
      child.kill(signal)
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
      const code = await exited
      clearTimeout(timer)
      return code
    },
  }
}
