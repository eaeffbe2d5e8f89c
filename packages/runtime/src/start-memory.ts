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
  const collect = runInNewContext('gc') as () => void
  setTimeout(collect, SETTLED_MS).unref()
}
