import { sharedRedisUrl, waitFor } from '@longshore/testkit'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'

import { DeploymentId, type Handle, SILENT, type Task } from '@longshore/contracts'
import { keysOf } from '@longshore/ledger'

import { type CollectDebtsOptions, createDebtCollector } from './collect-debts.ts'
import { isHere } from './here.ts'
import { createShellBackend } from './testing/shell-backend.ts'
import { startStack, type TestStack } from './testing/stack.ts'

let stack: TestStack
beforeEach(async () => {
  stack = await startStack(sharedRedisUrl())
})
afterEach(() => stack.stop())

/** A task that was ended by a worker that died before it could clean up. */
async function leftBehind(place: { engineId?: string; storageId?: string } = {}): Promise<{ task: Task; pid: number; handle: Handle }> {
  const task = await stack.submit('sleep 100')
  const take = await stack.ledger.take({ task_id: task.id, n: 1 }, 'a worker that dies')
  if (take.kind !== 'taken') throw new Error('not taken')
  const claim = { taskId: task.id, claim: take.task.claim }
  const execution = await createShellBackend('docker', stack.root, place).start(take.task, {
    claim: 1, deadlineAt: Date.now() + 60_000, signal: new AbortController().signal, log: SILENT,
    onHandle: (handle) => stack.ledger.saveHandle(claim, handle), emit: () => Promise.resolve(), onAsks: () => Promise.resolve(), confirmClaim: () => Promise.resolve(),
  })
  execution.outcome.catch(() => undefined)
  await stack.ledger.end(claim, { state: 'cancelled', payload: { by: 'agent-a' } })
  return { task, handle: execution.handle, pid: Number(await readFile(join(String(execution.handle.data['dir']), 'pid'), 'utf8')) }
}
const collect = (more: Partial<CollectDebtsOptions> = {}) => createDebtCollector({
  ledger: stack.ledger, backendOf: (mode) => createShellBackend(mode, stack.root), reaches: () => true, log: SILENT,
  clock: { now: () => Date.now() + 60_000, measure: () => Promise.resolve() }, ...more,
})()
const isAlive = (pid: number) => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

test('G9: what a dead worker left running after an end is ended, once, and the debt is struck', async () => {
  const { task, pid } = await leftBehind()
  expect(isAlive(pid)).toBe(true)
  expect(await collect()).toEqual([task.id])
  await waitFor(() => !isAlive(pid), { what: 'the process to be gone' })
  expect(await collect()).toEqual([])
})

test('a debt stays while its own worker is at it, out of reach, or when something may be left', async () => {
  const { pid, task } = await leftBehind()
  expect(await collect({ clock: { now: () => Date.now(), measure: () => Promise.resolve() } })).toEqual([])
  expect(await collect({ reaches: () => false })).toEqual([])
  expect(await collect({ backendOf: () => undefined })).toEqual([])
  const stuck = { ...createShellBackend('docker', stack.root), dispose: () => Promise.reject(new Error('the engine does not answer')) }
  expect(await collect({ backendOf: () => stuck })).toEqual([])
  expect(await stack.ledger.debts(10)).toEqual([task.id])
  expect(isAlive(pid)).toBe(true)
  await collect()
})

test('G10: of two engines on one storage only the one that holds the execution pays its debt', async () => {
  const { task, pid } = await leftBehind({ engineId: 'one', storageId: 's' })
  const worker = (engineId: string | undefined, storageId = 's') => ({ reaches: (handle: Handle) => isHere(handle, { storageId, engines: { ownId: () => engineId } }) })
  expect(await collect(worker('two'))).toEqual([])
  expect(await collect(worker(undefined))).toEqual([])
  expect(await collect(worker('one', 'another'))).toEqual([])
  expect(isAlive(pid)).toBe(true)
  expect(await collect(worker('one'))).toEqual([task.id])
  await waitFor(() => !isAlive(pid), { what: 'the process to be gone' })
})

test('a debt at a place that nobody has reached for longer than anything runs is given up: it would stand before all others for ever', async () => {
  const { task, pid } = await leftBehind()
  const after = (hours: number) => collect({ reaches: () => false, clock: { now: () => Date.now() + hours * 60 * 60_000, measure: () => Promise.resolve() } })
  expect(await after(24)).toEqual([])
  expect(await after(26)).toEqual([task.id])
  process.kill(-pid, 'SIGKILL')
})

test('a place that is gone is asked less and less often, and complained about once', async () => {
  const { task } = await leftBehind()
  let [now, asked, complaints] = [Date.now() + 60_000, 0, 0]
  const log = { ...SILENT, warn: () => { complaints += 1 } }
  const gone = { ...createShellBackend('docker', stack.root), dispose: () => {
    asked += 1
    return Promise.reject(new Error('the server is gone'))
  } }
  const round = createDebtCollector({ ledger: stack.ledger, backendOf: () => gone, reaches: () => true, log, clock: { now: () => now, measure: () => Promise.resolve() } })
  for (let second = 0; second < 3_600; second += 5) {
    await round()
    now += 5_000
  }
  expect(asked).toBeGreaterThan(8)
  expect(asked).toBeLessThan(20)
  expect(complaints).toBe(1)
  expect(await stack.ledger.debts(10)).toEqual([task.id])
  await collect()
})

test('a record that this build cannot read does not keep the debts behind it from being paid', async () => {
  const [strange, fine] = [await leftBehind(), await leftBehind()]
  await stack.redis.hset(keysOf(DeploymentId.parse(stack.deployment)).task(strange.task.id), 'handle', JSON.stringify({ ...strange.handle, v: 2 }))
  expect(await collect()).toEqual([fine.task.id])
  expect(await stack.ledger.debts(10)).toEqual([strange.task.id])
  process.kill(-strange.pid, 'SIGKILL')
})
