import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** Past the first connections and probes. */
const SETTLED_MS = 2_000

/**
 * Collects once what loading the program left behind: an idle process makes too little garbage for V8 to do it soon,
 * and would keep some 30 MB.
 */
export function releaseStartMemory(): void {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as (options: { type: 'major'; execution: 'sync'; flavor: 'last-resort' }) => void
  // The last resort also gives the freed pages back at once.
  setTimeout(() => collect({ type: 'major', execution: 'sync', flavor: 'last-resort' }), SETTLED_MS).unref()
}
