import { sharedRedisUrl, waitFor } from '@longshore/testkit'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import type { TaskId } from '@longshore/contracts'

import { startStack, type TestStack } from './testing/stack.ts'

let stack: TestStack
beforeEach(async () => {
  stack = await startStack(sharedRedisUrl())
})
afterEach(() => stack.stop())

const LONG = 'sleep 100'
/** Ends when it is told to, and not before it was adopted. */
const counting = () => `i=0; while [ $i -lt 120 ]; do i=$((i+1)); echo line-$i; sleep 0.05; while [ $i -eq 110 ] && [ ! -e ${end()} ]; do sleep 0.1; done; done`
const end = () => join(stack.root, 'end')
/** G7, with default settings. */
const PROMISED_MS = 10_000
const lines = (n: number) => Array.from({ length: n }, (_, i) => `line-${i + 1}\n`).join('')
const submitMany = (count: number, prompt: string) => Promise.all(Array.from({ length: count }, () => stack.submit(prompt)))
const untilAdopted = (id: TaskId) => waitFor(async () => (await stack.types(id)).includes('task.adopted'), { what: 'the adoption' })
const outputOf = async (id: TaskId) => (await stack.events(id)).map((event) => (event.known && event.type === 'task.output' ? event.payload.text : '')).join('')

describe('what a worker leaves goes on within 10 s, though all slots of its heir are taken and a backlog waits', () => {
  test('G7: after SIGKILL', async () => {
    const doomed = await stack.workerProcess('doomed')
    const tasks = await submitMany(3, counting())
    for (const { id } of tasks) await stack.until(id, 'running')
    const heir = await stack.worker({ name: 'heir' })
    for (const { id } of await submitMany(3, LONG)) await stack.until(id, 'running')
    const backlog = await submitMany(12, 'true')
    doomed.kill('SIGKILL')
    const killedAt = performance.now()
    for (const { id } of tasks) await untilAdopted(id)
    expect(performance.now() - killedAt).toBeLessThan(PROMISED_MS)
    expect(heir.status()).toMatchObject({ slots: 3, running: 6 })
    await writeFile(end(), '')
    for (const { id } of tasks) {
      expect(await stack.until(id, 'completed')).toMatchObject({ attempt: 1, worker: 'heir' })
      expect(await outputOf(id)).toBe(lines(120))
    }
    for (const { id } of backlog) expect((await stack.get(id)).state).toBe('queued')
  })

  test('G12: after a drain', async () => {
    const leaving = await stack.worker({ name: 'leaving', concurrency: 1 })
    const task = await stack.submit(counting())
    await stack.until(task.id, 'running')
    const next = await stack.worker({ name: 'next', concurrency: 1, probeEveryMs: 100 })
    await stack.until((await stack.submit(LONG)).id, 'running')
    await stack.untilThere('next')
    const backlog = await submitMany(12, 'true')
    const toldAt = performance.now()
    await leaving.stop()
    await untilAdopted(task.id)
    expect(performance.now() - toldAt).toBeLessThan(PROMISED_MS)
    expect(next.status()).toMatchObject({ slots: 1, running: 2 })
    await writeFile(end(), '')
    expect(await stack.until(task.id, 'completed')).toMatchObject({ attempt: 1, worker: 'next' })
    expect(await outputOf(task.id)).toBe(lines(120))
    for (const { id } of backlog) expect((await stack.get(id)).state).toBe('queued')
  })
})
