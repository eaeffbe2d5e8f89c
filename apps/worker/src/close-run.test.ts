import { sharedRedisUrl, waitFor } from '@longshore/testkit'
import { Registry } from 'prom-client'
import { afterEach, beforeEach, expect, test } from 'vitest'

import { type Backend, type Handle, NO_RULES, SILENT, type Task } from '@longshore/contracts'

import { endRun } from './close-run.ts'
import { openRun, type RunTaskDeps } from './run.ts'
import { createSuspects } from './suspects.ts'
import { createShellBackend } from './testing/shell-backend.ts'
import { startStack, type TestStack } from './testing/stack.ts'
import { createWorkerMetrics } from './worker-metrics.ts'

let stack: TestStack
beforeEach(async () => {
  stack = await startStack(sharedRedisUrl())
})
afterEach(() => stack.stop())

const completed = { state: 'completed', payload: { result: { output: '', output_truncated: false, files_changed: 0 } } } as const
const handleOf = (name: string): Handle => ({ v: 1, mode: 'docker', data: { dir: `/nowhere/${name}` } })

async function take({ id }: Task, worker: string): Promise<Task> {
  const found = await stack.ledger.take({ task_id: id, n: 1 }, worker)
  if (found.kind !== 'taken') throw new Error(`not taken: ${found.reason}`)
  return found.task
}

function deps(): RunTaskDeps {
  return {
    ledger: stack.ledger, doorbell: { listen: () => Promise.reject(new Error('nobody listens')) }, log: SILENT, worker: 'the loser',
    clock: { now: () => Date.now(), measure: () => Promise.resolve() }, metrics: createWorkerMetrics(new Registry()),
    retryDelayMs: 1, chance: () => 0, handover: new AbortController().signal, onRequeued: () => undefined, poisonLimit: 5, inputs: { policy: NO_RULES, ttlMs: 60_000, unanswered: 'deny', graceMs: 60_000 }, suspects: createSuspects(),
    storageId: undefined, engines: { ownId: () => undefined, isAlive: () => Promise.resolve(false) }, hasSuccessor: () => Promise.resolve(false),
    place: { begun: () => undefined, done: () => undefined, failed: () => undefined, isOnTrial: () => false },
  }
}

test('G9: what is started after a wait has its watchdog set to the deadline as it is then', async () => {
  const task = await take(await stack.submit('nothing', { timeout_ms: 60_000 }), 'w')
  let now = task.deadline_at ?? 0
  const run = openRun({ ...deps(), clock: { now: () => now, measure: () => Promise.resolve() } }, createShellBackend('docker', stack.root), task, new AbortController().signal)
  const leftMs = () => Math.round((run.context.deadlineAt - Date.now()) / 1_000) * 1_000
  now -= 40_000
  expect(leftMs()).toBe(40_000)
  run.moveDeadline(undefined)
  now += 30_000
  expect(leftMs()).toBe(40_000)
  run.moveDeadline(now + 40_000)
  now += 10_000
  expect(leftMs()).toBe(30_000)
})

test('G9: a worker that was taken over does not strike the debt of the execution that it knows nothing of', async () => {
  const task = await stack.submit('nothing')
  const old = await take(task, 'the loser')
  await stack.ledger.saveHandle({ taskId: task.id, claim: 1 }, handleOf('old'))
  const run = openRun(deps(), createShellBackend('docker', stack.root), { ...old, handle: handleOf('old') }, new AbortController().signal)
  // Meanwhile, the heir starts over, and dies after the end and before its cleaning up.
  const heir = { taskId: task.id, claim: (await take(task, 'the heir')).claim }
  await stack.ledger.restart(heir, 'the heir')
  await stack.ledger.saveHandle(heir, handleOf('new'))
  await stack.ledger.end(heir, completed)
  expect(await endRun(run, completed, Promise.resolve())).toBe('lost')
  expect(await stack.ledger.debts(10)).toEqual([task.id])
})

test.each([
  { why: 'handover', resume: true }, { why: 'handover', resume: false }, { why: 'retry', resume: true },
])('G3: a cancel that comes while the worker cleans up for a $why (resumable: $resume) ends the task at once, and nothing is left', async ({ why, resume }) => {
  const shell = createShellBackend('docker', stack.root, { capabilities: { resume } })
  const cancelled = async () => void (await stack.ledger.cancel(task.id, 'agent-a'))
  const backend: Backend = {
    ...shell,
    checkpoint: (handle, context) => cancelled().then(() => shell.checkpoint(handle, context)),
    dispose: (handle, context) => cancelled().then(() => shell.dispose(handle, context)),
  }
  const worker = await stack.worker({ backends: [backend], retryDelayMs: 60_000 })
  const task = await stack.submit(why === 'retry' ? 'exit 75' : 'sleep 100')
  if (why === 'handover') {
    await waitFor(async () => (await shell.list()).length === 1, { what: 'the script to run' })
    await worker.stop()
  }
  expect(await stack.untilOver(task.id)).toMatchObject({ state: 'cancelled', attempt: 1 })
  expect(await stack.types(task.id)).toEqual(['task.queued', 'task.started', 'task.cancelled'])
  await worker.stop()
  expect(await stack.ledger.debts(10)).toEqual([])
  expect(await shell.list()).toEqual([])
})
