import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'

/** A process of a benchmark that is asked over IPC. */
export interface Child {
  pid: number
  ask(message: unknown): Promise<unknown>
  stop(): Promise<void>
}

/** Starts a script of this folder and waits for its first message. Its own output is shown when it fails. */
export async function startChild(script: string, env: Record<string, string>): Promise<Child> {
  const child = fork(new URL(script, import.meta.url), { env: { ...process.env, ...env }, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  await answer(child)
  return {
    pid: child.pid ?? Number.NaN,
    ask: (message) => {
      child.send(message as object)
      return answer(child)
    },
    stop: async () => {
      child.kill('SIGTERM')
      if (child.exitCode === null) await once(child, 'exit')
    },
  }
}

function answer(child: ChildProcess): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const onExit = (code: number | null) => reject(new Error(`a child of the benchmark ended with ${code}`))
    child.once('exit', onExit).once('message', (message) => {
      child.off('exit', onExit)
      resolve(message)
    })
  })
}
