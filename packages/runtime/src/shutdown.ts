import type { Log } from '@longshore/contracts'

export interface Stoppable { name: string; stop(): Promise<void> }

/** Stops parts one after the other, in the order given; a part that fails does not keep the next from stopping. */
export async function stopAll(parts: readonly Stoppable[], log: Log): Promise<boolean> {
  let isClean = true
  for (const part of parts) {
    try {
      await part.stop()
    } catch (error) {
      isClean = false
      log.error({ err: error, part: part.name }, 'a part did not stop cleanly')
    }
  }
  return isClean
}

/** The part of `process` that ending needs; handed in by `main.ts`. */
export interface ProcessPort {
  on(signal: 'SIGINT' | 'SIGTERM' | 'uncaughtException' | 'unhandledRejection', listener: (value: unknown) => void): unknown
  exit(code: number): never
}

/**
 * SIGINT and SIGTERM stop the parts in order and exit 0 (1 when one failed); a second signal exits at once with 130.
 * An uncaught error is logged, the parts are stopped, and the process exits 1: its state can no longer be trusted.
 */
export function stopOnSignal(process: ProcessPort, parts: readonly Stoppable[], log: Log): void {
  let isStopping = false
  const stop = (code: number) => {
    if (isStopping) process.exit(130)
    isStopping = true
    void stopAll(parts, log).then((isClean) => process.exit(isClean ? code : 1))
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      log.info({ signal }, 'stopping')
      stop(0)
    })
  }
  for (const fault of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(fault, (error) => {
      log.error({ err: error, fault }, 'a defect: stopping')
      if (!isStopping) stop(1)
    })
  }
}
