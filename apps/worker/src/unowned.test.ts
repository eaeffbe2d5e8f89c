import { sharedRedisUrl, waitFor } from '@longshore/testkit'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'

import { createShellBackend } from './testing/shell-backend.ts'
import { startStack, type TestStack } from './testing/stack.ts'

let stack: TestStack
beforeEach(async () => {
  stack = await startStack(sharedRedisUrl())
})
afterEach(() => stack.stop())

test('a retry waits for its time in the ledger, by the clock of Redis, and is not taken for lost', async () => {
  await stack.worker({ retryDelayMs: 8_000 })
  const task = await stack.submit('exit 75', { max_attempts: 2 })
  await stack.until(task.id, 'queued')
  await waitFor(async () => (await stack.get(task.id)).ticket === 2, { what: 'the second ticket' })
  const [pending] = await stack.ledger.pendingTickets(10)
  // Two rounds and more of the reconciler later it still stands there, and not in the queue.
  await waitFor(async () => (pending?.due_at ?? 0) - Date.now() < 4_000, { what: 'the time to come' })
  expect(await stack.ledger.pendingTickets(10)).toEqual([pending])
  expect((await stack.producer.counts()).docker).toEqual({ waiting: 0, delayed: 0, active: 0, failed: 0 })
  expect(await stack.untilOver(task.id)).toMatchObject({ state: 'failed', attempt: 2, ticket: 2 })
  const started = (await stack.events(task.id)).filter(({ type }) => type === 'task.started')
  expect(started.at(-1)?.at).toBeGreaterThanOrEqual(pending?.due_at ?? Number.NaN)
})

test('a task that waits for a retry is cancelled at once, and its next ticket never comes', async () => {
  await stack.worker({ retryDelayMs: 60_000 })
  const task = await stack.submit('exit 75')
  await waitFor(async () => (await stack.get(task.id)).ticket === 2, { what: 'the second ticket' })
  expect(await stack.ledger.cancel(task.id, 'agent-a')).toMatchObject({ outcome: 'ended' })
  expect(await stack.ledger.pendingTickets(10)).toEqual([])
  expect((await stack.types(task.id)).at(-1)).toBe('task.cancelled')
})

test('G9: the deadline holds also while no worker can take the task back', async () => {
  let isThere = true
  const docker = createShellBackend('docker', stack.root, { probe: () => Promise.resolve(isThere ? { ok: true } : { ok: false, reason: 'the engine is down' }) })
  const worker = await stack.worker({ backends: [docker, createShellBackend('opencode', stack.root)], probeEveryMs: 50, retryDelayMs: 100 })
  const off = join(stack.root, 'off')
  const task = await stack.submit(`until [ -e ${off} ]; do sleep 0.05; done; exit 75`, { timeout_ms: 8_000 })
  await stack.until(task.id, 'running')
  isThere = false
  await waitFor(() => worker.status().modes.some(({ ok }) => !ok), { what: 'docker mode to be off', everyMs: 5 })
  await writeFile(off, '')
  const over = await stack.untilOver(task.id)
  expect(over).toMatchObject({ state: 'timeout', limit: 'timeout_ms', attempt: 1 })
  expect(over.ended_at).toBeGreaterThanOrEqual(over.deadline_at ?? Number.NaN)
  expect((await stack.events(task.id)).at(-1)).toMatchObject({ type: 'task.timeout', payload: { limit: 'timeout_ms', limit_ms: 8_000 } })
})

test('a deadline that is not over, a task that never started, and a running one within the grace are left alone', async () => {
  const fresh = await stack.submit('nothing', { timeout_ms: 1_000 })
  expect(await stack.ledger.timeoutUnowned(fresh.id, 1)).toBe(false)
  const taken = await stack.ledger.take({ task_id: fresh.id, n: 1 }, 'worker-1')
  expect(taken.kind).toBe('taken')
  expect(await stack.ledger.timeoutUnowned(fresh.id, 1)).toBe(false)
  await waitFor(async () => (await stack.ledger.liveTickets(undefined, 100)).overdue.length === 1, { what: 'the deadline' })
  expect(await stack.ledger.timeoutUnowned(fresh.id, 1)).toBe(false)
  await stack.ledger.requeue({ taskId: fresh.id, claim: 1 }, { reason: 'handover' })
  expect(await stack.ledger.timeoutUnowned(fresh.id, 1)).toBe(false)
  expect(await stack.ledger.timeoutUnowned(fresh.id, 2)).toBe(true)
})
