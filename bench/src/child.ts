import { fork } from 'node:child_process'
import { once } from 'node:events'

/** A process of a benchmark that is talked to over IPC. */
export interface Child {
  pid: number
  tell(message: object): void
  /** The next message of the child. @throws when it ends instead */
  heard(): Promise<unknown>
  stop(): Promise<void>
}

/** Starts a script of this folder and waits for its first message. Its own output is shown. */
export async function startChild(script: string, env: Record<string, string>): Promise<Child> {
  const child = fork(new URL(script, import.meta.url), { env: { ...process.env, ...env }, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  const heard = () => new Promise<unknown>((resolve, reject) => {
    const onExit = (code: number | null) => reject(new Error(`${script} ended with ${code}`))
    child.once('exit', onExit).once('message', (message) => {
      child.off('exit', onExit)
      resolve(message)
    })
  })
  await heard()
  return {
    pid: child.pid ?? Number.NaN,
    tell: (message) => void child.send(message),
    heard,
    stop: async () => {
      child.kill('SIGTERM')
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    },
  }
}
