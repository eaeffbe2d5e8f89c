import type { Log } from '@longshore/contracts'
import type { Ledger } from '@longshore/ledger'
import { keepRounds, type Rounds } from '@longshore/runtime'

const AGAIN_MS = 10_000

/** Once after the start, however often Redis goes away meanwhile: what a build without an index wrote is brought into it. Several gateways at once do no harm. */
export function indexOlderTasks(ledger: Pick<Ledger, 'indexOlder'>, log: Log): Rounds {
  let isDone = false
  const round = async (signal: AbortSignal) => {
    if (isDone) return
    const tasks = await ledger.indexOlder(signal)
    isDone = !signal.aborted
    log.debug({ tasks }, 'the index of tasks is whole')
  }
  return keepRounds({ everyMs: AGAIN_MS, round, log, failing: 'older tasks could not be brought into the index' })
}
