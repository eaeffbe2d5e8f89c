import type { Log } from '@longshore/contracts'
import type { Ledger } from '@longshore/ledger'

export interface LogLimits { retentionMs: number; totalBytes: number }

export interface TrimLogsOptions {
  ledger: Pick<Ledger, 'wholeLogs' | 'logBytes' | 'trimLog' | 'trimFleet' | 'lease'>
  limits: LogLimits
  isDryRun: boolean
  /** Of this worker; one at a time in the whole deployment trims. */
  name: string
  /** Redis ms. */
  now: () => number
  onTrimmed: (count: number) => void
  log: Log
}

const PAGE = 200
const LEASE_MS = 60_000
/** Whoever reads a log at its end (notifier, archive, people) comes to it by then, however little room there is. */
export const YOUNG_MS = 60 * 60_000

/** Why a log goes now; undefined: it stays. */
export function whyTrim(endedAt: number, bytes: number, { retentionMs, totalBytes }: LogLimits, now: number): 'age' | 'bytes' | undefined {
  if (now - endedAt < YOUNG_MS) return undefined
  if (now - endedAt >= retentionMs) return 'age'
  return bytes > totalBytes ? 'bytes' : undefined
}

/**
 * Trims the logs of ended tasks to their ends, oldest first: what is older than the retention, and what is more than all of them may have. The record of a task, and
 * what the blob store has of it, are others' affair. Cut short anywhere, the next round goes on.
 * @returns a round
 */
export function createLogTrimmer({ ledger, limits, isDryRun, name, now, onTrimmed, log }: TrimLogsOptions): (signal: AbortSignal) => Promise<void> {
  return async (signal) => {
    if (!(await ledger.lease('trim-logs', name, LEASE_MS))) return
    let bytes = await ledger.logBytes()
    let trimmed = 0
    for (let isMore = true; isMore && !signal.aborted;) {
      const page = await ledger.wholeLogs(PAGE)
      const old = page.filter(({ endedAt }) => whyTrim(endedAt, bytes, limits, now()) !== undefined)
      if (isDryRun) {
        if (old.length > 0) log.info({ tasks: old.length, bytes }, 'would trim logs of ended tasks')
        return
      }
      isMore = old.length === PAGE
      for (const { id, endedAt } of old) {
        // The one before may have made room enough.
        if (whyTrim(endedAt, bytes, limits, now()) === undefined) break
        bytes -= await ledger.trimLog(id)
        trimmed += 1
      }
    }
    if (isDryRun) return
    await ledger.trimFleet(now() - limits.retentionMs)
    if (trimmed === 0) return
    onTrimmed(trimmed)
    log.info({ tasks: trimmed, bytes }, 'trimmed the logs of ended tasks to their ends')
  }
}
