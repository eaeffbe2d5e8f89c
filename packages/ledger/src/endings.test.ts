import { beforeEach, expect, test } from 'vitest'

import { isOver, MAX_OUTPUT_CHARACTERS, TASK_STATES, type TaskState } from '@longshore/contracts'

import type { Ledger } from './ledger.ts'
import { aHandle, aTask, claimOf, completed, connect, type World } from './testing/world.ts'

const open = connect()
let ledger: Ledger
let peer: Ledger
let submitted: World['submitted']
let running: World['running']
let events: World['events']
let types: World['types']
beforeEach(() => {
  ({ ledger, peer, submitted, running, events, types } = open())
})

const ENDS = new Set(['task.completed', 'task.failed', 'task.timeout', 'task.cancelled'])

test('G3: completion racing with a cancel and a handover, 200 times, is one ending that everybody sees', async () => {
  const seen = new Map<TaskState, number>()
  for (let i = 0; i < 200; i++) {
    const task = await running()
    const claim = claimOf(task)
    const racers: (() => Promise<unknown>)[] = [
      () => ledger.end(claim, completed),
      () => peer.cancel(task.id, 'agent-a'),
      () => ledger.requeue(claim, { reason: 'handover' }).catch(() => undefined),
    ]
    // Every order of departure.
    racers.push(...racers.splice(0, i % 3))
    if (i % 2 === 1) racers.reverse()
    await Promise.all(racers.map((race) => race()))
    const end = await ledger.cancel(task.id, 'agent-a')
    const over = await ledger.get(task.id)
    const log = await types(task)
    expect(isOver(over?.state ?? 'queued')).toBe(true)
    expect(end?.task.state).toBe(over?.state)
    expect(log.filter((type) => ENDS.has(type))).toEqual([`task.${over?.state}`])
    expect(log.at(-1)).toBe(`task.${over?.state}`)
    expect(await ledger.end(claim, completed)).toEqual({ won: false, state: over?.state })
    seen.set(over?.state ?? 'queued', (seen.get(over?.state ?? 'queued') ?? 0) + 1)
  }
  expect([...seen.keys()].toSorted()).toEqual(['cancelled', 'completed'])
  expect(await ledger.counts()).toMatchObject({ queued: 0, running: 0, ...Object.fromEntries(seen) })
  expect((await ledger.liveTickets(undefined, 1_000)).tickets).toEqual([])
  expect(await ledger.pendingTickets(1_000)).toEqual([])
})

test('G3: of many racing ends exactly one wins, and everybody sees it', async () => {
  const task = await running()
  const claim = claimOf(task)
  const ends = await Promise.all([
    ledger.end(claim, completed),
    ledger.end(claim, { state: 'cancelled', payload: { by: 'agent-a' } }),
    ledger.end(claim, { state: 'timeout', payload: { limit: 'timeout_ms', limit_ms: 1 } }),
    ledger.end(claim, { state: 'failed', payload: { failure: { code: 'agent_error', message: 'no' } } }),
  ])
  expect(ends.filter(({ won }) => won)).toHaveLength(1)
  expect(new Set(ends.map(({ state }) => state)).size).toBe(1)
  expect((await types(task)).slice(2)).toHaveLength(1)
})

test('the end records its result, its time and the debt of cleaning up in one step', async () => {
  const task = await running()
  await ledger.saveHandle(claimOf(task), aHandle)
  const { durationMs } = await ledger.end(claimOf(task), completed)
  const over = await ledger.get(task.id)
  expect(over?.ended_at).toBe((over?.started_at ?? Number.NaN) + (durationMs ?? Number.NaN))
  expect(over).toMatchObject({ state: 'completed', result: { output: 'done' }, handle: aHandle })
  expect(await ledger.debts(10)).toEqual([task.id])
  await ledger.strikeDebt(task.id)
  expect(await ledger.debts(10)).toEqual([])
  expect(await ledger.pendingTickets(10)).toEqual([])
  expect((await ledger.liveTickets(undefined, 10)).tickets).toEqual([])
})

test('only a running task completes: the state table is asked, not only the claim', async () => {
  const task = await submitted()
  expect(await ledger.end({ taskId: task.id, claim: 0 }, completed)).toEqual({ won: false, state: 'queued' })
  expect(await types(task)).toEqual(['task.queued'])
})

test('a queued task is cancelled without a worker; a running one is asked of its owner; an ended one says so', async () => {
  const queued = await submitted()
  expect(await ledger.cancel(queued.id, 'agent-a', 'changed my mind')).toMatchObject({ outcome: 'ended', before: 'queued', task: { state: 'cancelled' } })
  expect(await ledger.cancel(queued.id, 'agent-a')).toMatchObject({ outcome: 'already_over', before: 'cancelled' })
  const task = await running()
  expect(await ledger.cancel(task.id, 'op', 'stop')).toMatchObject({ outcome: 'requested', before: 'running', task: { state: 'running' } })
  expect(await ledger.requests(claimOf(task))).toMatchObject({ cancel: { by: 'op', reason: 'stop' }, messages: 0 })
  expect(await ledger.cancel(aTask().id, 'op')).toBeUndefined()
  expect((await events(queued)).at(-1)).toMatchObject({ payload: { by: 'agent-a', reason: 'changed my mind' } })
})

test('counts follow every change of state', async () => {
  await submitted()
  const task = await running()
  await ledger.end(claimOf(await running()), completed)
  await ledger.requeue(claimOf(task), { reason: 'handover' })
  const counts = await ledger.counts()
  expect(counts).toEqual({ ...Object.fromEntries(TASK_STATES.map((state) => [state, 0])), queued: 2, completed: 1 })
})

test('a result longer than a record keeps ends all the same, cut and marked (L-25)', async () => {
  const task = await running()
  const output = '\u0000'.repeat(MAX_OUTPUT_CHARACTERS * 3)
  const { won } = await ledger.end(claimOf(task), { state: 'completed', payload: { result: { output, output_truncated: false, files_changed: 0 } } })
  expect(won).toBe(true)
  const result = (await ledger.get(task.id))?.result
  expect([result?.output_truncated, result?.output.length]).toEqual([true, MAX_OUTPUT_CHARACTERS])
})
