import { sharedRedisUrl, startRedis, waitFor } from '@longshore/testkit'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { SILENT, type Task } from '@longshore/contracts'
import { createDrainRequests, createHeartbeats } from '@longshore/queue'

import { createDrain } from './drain.ts'
import { startStack, type TestStack } from './testing/stack.ts'

let stack: TestStack
beforeEach(async () => {
  stack = await startStack(sharedRedisUrl())
})
afterEach(() => stack.stop())

/** Counts its runs in a file, says what it is at, and ends when told to. */
function aTask(name: string): { prompt: string; runs(): Promise<number>; release: string } {
  const [runs, release] = [join(stack.root, `${name}-runs`), join(stack.root, `${name}-go`)]
  return {
    release, prompt: `echo run >> ${runs}; echo begun; until [ -e ${release} ]; do sleep 0.05; done; echo ended`,
    runs: async () => (await readFile(runs, 'utf8')).split('\n').length - 1,
  }
}
const isRunning = (task: Task) => waitFor(async () => (await stack.types(task.id)).includes('task.output'), { what: `${task.id} to run` })
const heartbeats = () => createHeartbeats(stack.redis, stack.deployment).list()

describe('G12: a worker that ends', () => {
  test('with all others at once leaves nothing running and nothing to each other', async () => {
    const workers = await Promise.all(['a', 'b', 'c'].map((name) => stack.worker({ name, concurrency: 1 })))
    await stack.untilThere('a', 'b', 'c')
    const tasks = await Promise.all(['1', '2', '3'].map((name) => stack.submit(aTask(name).prompt)))
    for (const task of tasks) await isRunning(task)
    await Promise.all(workers.map((worker) => worker.stop()))
    for (const { id } of tasks) expect(await stack.get(id)).toMatchObject({ state: 'queued', handle: { checkpoint: true } })
  })

  test('takes nothing new while what runs has its grace, and lets it end in it', async () => {
    const work = aTask('graced')
    const worker = await stack.worker({ drainGraceMs: 30_000 })
    const task = await stack.submit(work.prompt)
    await isRunning(task)
    const ended = worker.stop()
    await waitFor(async () => (await heartbeats()).some(({ draining }) => draining), { what: 'its word that it drains' })
    const later = await stack.submit('echo later')
    await writeFile(work.release, '')
    await ended
    expect(await stack.get(task.id)).toMatchObject({ state: 'completed', attempt: 1 })
    expect(await stack.get(later.id)).toMatchObject({ state: 'queued', claim: 0 })
  })

  test.each(['SIGTERM', 'SIGINT'] as const)('by %s under load exits with 0, and every task completes once elsewhere', async (signal) => {
    const first = await stack.workerProcess('first')
    const runs = join(stack.root, 'runs')
    const tasks = await Promise.all(Array.from({ length: 12 }, (_, i) => stack.submit(`echo ${i} >> ${runs}; sleep 0.5; echo done`)))
    await waitFor(async () => (await readFile(runs, 'utf8').catch(() => '')).split('\n').length > 4, { what: 'some to have begun' })
    await stack.worker({ name: 'second' })
    await stack.untilThere('second')
    first.kill(signal)
    expect(await first.exited).toBe(0)
    for (const { id } of tasks) expect(await stack.until(id, 'completed')).toMatchObject({ attempt: 1, result: { output: 'done\n' } })
    expect((await readFile(runs, 'utf8')).trim().split('\n').length).toBe(12)
  })
})

test('G12: a worker that is asked to drain hands over and takes nothing, until the wish is withdrawn', async () => {
  const requests = createDrainRequests(stack.redis, stack.deployment)
  const work = aTask('asked')
  const worker = await stack.worker({ name: 'asked', drainGraceMs: 0 })
  const task = await stack.submit(work.prompt)
  await isRunning(task)
  expect(await requests.request('asked')).toBe(true)
  await stack.until(task.id, 'queued')
  expect(worker.status()).toMatchObject({ draining: true })
  await waitFor(async () => (await heartbeats()).some(({ name, draining, running }) => name === 'asked' && draining && running === 0), { what: 'its heartbeat to say so' })
  const later = await stack.submit('echo later')
  await waitFor(() => worker.status().running === 0, { what: 'nothing to run' })
  expect(await stack.get(later.id)).toMatchObject({ state: 'queued', claim: 0 })
  expect(await requests.undo('asked')).toBe(true)
  await stack.until(later.id, 'completed')
  await writeFile(work.release, '')
  expect(await stack.until(task.id, 'completed')).toMatchObject({ attempt: 1, worker: 'asked' })
  expect(worker.status()).toMatchObject({ draining: false })
})

test('G12: what ran before a drain that was taken back in its grace is handed over when the worker ends', async () => {
  const isTold = Promise.withResolvers<void>()
  let running = 1
  const drain = createDrain({ consumer: { running: () => running, idle: () => isTold.promise }, onChange: () => undefined, announce: () => Promise.resolve(), graceMs: 50, log: SILENT })
  drain.handover().addEventListener('abort', () => {
    running = 0
    isTold.resolve()
  })
  drain.want(true)
  drain.want(false)
  await drain.finish()
  expect(running).toBe(0)
}, 10_000)

test('G12: a worker whose Redis hangs ends all the same, and leaves its task as it is', async () => {
  const redis = await startRedis()
  const cutOff = await startStack(redis.url)
  try {
    const worker = await cutOff.worker()
    const task = await cutOff.submit('sleep 60')
    await cutOff.until(task.id, 'running')
    redis.stall()
    const begun = performance.now()
    await worker.stop()
    expect(performance.now() - begun).toBeLessThan(40_000)
    redis.cont()
    expect(await cutOff.get(task.id)).toMatchObject({ state: 'running' })
  } finally {
    redis.cont()
    await cutOff.stop()
    await redis.stop()
  }
}, 120_000)
