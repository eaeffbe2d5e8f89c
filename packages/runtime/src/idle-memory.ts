import { performance } from 'node:perf_hooks'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** Past the first connections and probes at a start, and soon after a burst. */
const EVERY_MS = 3_000
/** A process that used less of its time than this is idle; a collection costs it some 30 ms. */
const IDLE_UTILISATION = 0.1
/** Garbage worth a collection. */
const WORTH_BYTES = 12 * 1024 * 1024

/**
 * Gives memory back when nothing is to do: an idle process makes too little garbage for V8 to collect it soon, and would
 * keep what its start (30 MB) or its last burst (100 MB) left behind.
 */
export function releaseIdleMemory(): void {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as (options: { type: 'major'; execution: 'sync'; flavor: 'last-resort' }) => void
  let [before, small] = [performance.eventLoopUtilization(), 0]
  setInterval(() => {
    const now = performance.eventLoopUtilization()
    const { utilization } = performance.eventLoopUtilization(now, before)
    before = now
    if (utilization > IDLE_UTILISATION || process.memoryUsage.rss() - small < WORTH_BYTES) return
    // The last resort also gives the freed pages back at once.
    collect({ type: 'major', execution: 'sync', flavor: 'last-resort' })
    small = process.memoryUsage.rss()
  }, EVERY_MS).unref()
}
