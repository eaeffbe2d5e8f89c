import { setTimeout as sleep } from 'node:timers/promises'

import type { Log } from '@longshore/contracts'

/** `patienceMs`: a part that takes longer is left behind, so that the next ones are stopped all the same. */
export interface Stoppable { name: string; stop(): Promise<void>; patienceMs?: number }

/**
 * Stops parts one after the other, in the order given; a part that fails or hangs does not keep the next from stopping.
 * @returns whether all of them stopped cleanly
 */
export async function stopAll(parts: readonly Stoppable[], log: Log): Promise<boolean> {
  let isClean = true
  for (const part of parts) {
    try {
      await stopInTime(part)
    } catch (error) {
      isClean = false
      log.error({ err: error, part: part.name }, 'a part did not stop cleanly')
    }
  }
  return isClean
}

async function stopInTime({ stop, patienceMs }: Stoppable): Promise<void> {
  if (patienceMs === undefined) return stop()
  const inTime = new AbortController()
  const late = async () => {
    await sleep(patienceMs, undefined, { signal: inTime.signal })
    throw new Error(`it took longer than ${patienceMs} ms`)
  }
  try {
    const limit = late()
    limit.catch(() => undefined)
    await Promise.race([stop(), limit])
  } finally {
    inTime.abort()
  }
}

/** The part of `process` that ending needs; handed in by `main.ts`. */
export interface ProcessPort {
  on(signal: 'SIGINT' | 'SIGTERM' | 'uncaughtException' | 'unhandledRejection', listener: (value: unknown) => void): unknown
  exit(code: number): never
}

/**
 * SIGINT and SIGTERM stop the parts in order and exit 0: it ended because it was told to, and what did not stop cleanly stands in
 * the log. A second signal exits at once with 130. An uncaught error is logged, the parts are stopped, and the process exits 1:
 * its state can no longer be trusted.
 */
export function stopOnSignal(process: ProcessPort, parts: readonly Stoppable[], log: Log): void {
  let isStopping = false
  const stop = (code: number) => {
    if (isStopping) process.exit(130)
    isStopping = true
    void stopAll(parts, log).then(() => process.exit(code))
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
