import { SILENT, type TaskId } from '@longshore/contracts'
import { expect, test } from 'vitest'

import { createLogTrimmer, whyTrim, YOUNG_MS } from './trim-logs.ts'

const DAY_MS = 24 * 60 * 60_000
const LIMITS = { retentionMs: 30 * DAY_MS, totalBytes: 1_000 }

test.each([
  [YOUNG_MS - 1, 5_000, undefined], [YOUNG_MS, 5_000, 'bytes'], [YOUNG_MS, 1_000, undefined], [30 * DAY_MS - 1, 0, undefined], [30 * DAY_MS, 0, 'age'],
])('a log that ended %d ms ago while all have %d bytes: %s', (age, bytes, why) => {
  expect(whyTrim(0, bytes, LIMITS, age)).toBe(why)
})

/** Logs of 300 bytes each, by when they ended. */
function aLedger(ends: readonly number[]) {
  const logs = ends.map((endedAt, i) => ({ id: `task-${i}`, endedAt }))
  const trimmed: string[] = []
  return {
    trimmed,
    wholeLogs: (limit: number) => Promise.resolve(logs.slice(0, limit)),
    logBytes: () => Promise.resolve(logs.length * 300),
    trimLog: (id: TaskId) => {
      logs.splice(logs.findIndex((log) => log.id === id), 1)
      trimmed.push(id)
      return Promise.resolve(300)
    },
    trimFleet: () => Promise.resolve(0),
    lease: () => Promise.resolve(true),
  }
}

const round = (ledger: ReturnType<typeof aLedger>, isDryRun = false) => createLogTrimmer({ ledger, limits: LIMITS, isDryRun, name: 'w', now: () => 40 * DAY_MS, onTrimmed: () => undefined, log: SILENT })(new AbortController().signal)

test('the oldest go until there is room, and what is older than the retention goes in any case', async () => {
  const ledger = aLedger([DAY_MS, 2 * DAY_MS, 20 * DAY_MS, 21 * DAY_MS, 22 * DAY_MS, 23 * DAY_MS, 40 * DAY_MS - 1])
  await round(ledger)
  expect(ledger.trimmed).toEqual(['task-0', 'task-1', 'task-2', 'task-3'])
  await round(ledger)
  expect(ledger.trimmed).toHaveLength(4)
})

test('more than a page of old ones go in one round, and a dry run touches none', async () => {
  const ledger = aLedger(Array.from({ length: 450 }, () => DAY_MS))
  await round(ledger, true)
  expect(ledger.trimmed).toEqual([])
  await round(ledger)
  expect(ledger.trimmed).toHaveLength(450)
})
