import { memoryUsage, uptime } from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'

import type { ModeStatus } from './operations/mode-status.ts'

/** `/health` tells of the process, so Redis being slow must not make it look dead (ms). */
const MODES_WITHIN_MS = 500

/**
 * What `/health` says: that this process lives, which one it is, and with which isolation the modes run (left out while
 * Redis does not tell). Whether it can work is `/ready`'s to say.
 */
export function processHealth(version: string, deployment: string, modes: () => Promise<ModeStatus[]>): () => Promise<object> {
  return async () => {
    const { rss, heapUsed, heapTotal, external } = memoryUsage()
    const known = await Promise.race([modes().catch(() => undefined), sleep(MODES_WITHIN_MS, undefined, { ref: false })])
    return {
      status: 'ok', service: 'longshore-gateway', version, deployment, transport: 'streamable-http',
      uptime_s: Math.round(uptime()), timestamp: new Date().toISOString(),
      memory: { rss, heap_used: heapUsed, heap_total: heapTotal, external },
      ...(known === undefined ? {} : { modes: known.map(({ mode, available, isolation }) => ({ mode, available, isolation })) }),
    }
  }
}
