import { expect, test } from 'vitest'

import { taskIdFrom } from '@longshore/contracts'
import type { KeptTask } from '@longshore/ledger'

import { whatToCollect } from './what-to-collect.ts'

const DAY = 24 * 60 * 60_000
const NOW = 100 * DAY
const LIMITS = { retentionMs: 30 * DAY, totalBytes: 1_000, agentBytes: undefined, archive: { retentionMs: 90 * DAY, totalBytes: 500 } }
const idOf = (n: number) => taskIdFrom(new Uint8Array(52).fill(n))
const kept = (n: number, daysAgo: number, bytes: number, agentId = 'a'): KeptTask => ({ id: idOf(n), agentId, endedAt: NOW - daysAgo * DAY, kept: { at: NOW, bytes, edition: 'e' } })
const collected = (tasks: KeptTask[], limits: Partial<Parameters<typeof whatToCollect>[1]> = {}) => whatToCollect(tasks, { ...LIMITS, ...limits }, NOW).map(({ id, why }) => [id, why])

test('nothing goes that no limit names', () => {
  expect(collected([kept(1, 29, 500), kept(2, 1, 500)])).toEqual([])
  expect(collected([])).toEqual([])
})

test('what is too old goes first, and makes room', () => {
  expect(collected([kept(1, 31, 900), kept(2, 2, 600), kept(3, 1, 400)])).toEqual([[idOf(1), 'retention']])
})

test('of an agent that has too much the oldest goes; others keep theirs', () => {
  const tasks = [kept(1, 9, 100, 'b'), kept(2, 8, 300), kept(3, 7, 300), kept(4, 6, 300)]
  expect(collected(tasks, { agentBytes: 600 })).toEqual([[idOf(2), 'agent_bytes']])
  expect(collected(tasks, { agentBytes: 299 })).toEqual([[idOf(2), 'agent_bytes'], [idOf(3), 'agent_bytes'], [idOf(4), 'agent_bytes']])
})

test('of all together the oldest go, until the rest fits', () => {
  expect(collected([kept(1, 9, 100, 'b'), kept(2, 8, 600), kept(3, 7, 700)])).toEqual([[idOf(1), 'total_bytes'], [idOf(2), 'total_bytes']])
})
