import { sharedRedisUrl, waitFor } from '@longshore/testkit'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import type { Handle, Task, TaskId } from '@longshore/contracts'

import { createShellBackend } from './testing/shell-backend.ts'
import { startStack, type TestStack } from './testing/stack.ts'

let stack: TestStack
beforeEach(async () => {
  stack = await startStack(sharedRedisUrl())
})
afterEach(() => stack.stop())

const outputOf = async (id: TaskId) => (await stack.events(id)).map((event) => (event.known && event.type === 'task.output' ? event.payload.text : '')).join('')
const saying = (id: TaskId, word: string) => waitFor(async () => (await outputOf(id)).includes(word), { what: `the task to say ${word}` })

/** A task whose owner died with its engine; its session is kept in the workspace. */
async function leftOn(place: Pick<Handle, 'engine_id' | 'storage_id'>, more: { max_attempts?: number; checkpoint?: true } = {}): Promise<Task> {
  const { checkpoint, ...rest } = more
  const task = await stack.submit('cat notes 2>/dev/null; echo done', rest)
  const dir = join(stack.root, `${task.id}-1`)
  await mkdir(dir)
  await writeFile(join(dir, 'script'), task.prompt)
  await stack.ledger.take({ task_id: task.id, n: 1 }, 'dead')
  await stack.ledger.saveHandle({ taskId: task.id, claim: 1 }, { v: 1, mode: 'docker', ...place, ...(checkpoint === undefined ? {} : { checkpoint }), data: { dir } })
  return task
}

describe('G7: with several engines', () => {
  test('a task goes back to the one that holds its execution while a worker there is alive', async () => {
    const doomed = await stack.workerProcess('doomed', { engineId: 'one', storageId: 's' })
    const task = await stack.submit('echo begun; sleep 20; echo ended')
    await saying(task.id, 'begun')
    // The mode of the only other worker there is off for a moment: the ticket comes to the wrong one first.
    const place = { engineId: 'one', storageId: 's' }
    let isOn = true
    const probe = () => Promise.resolve(isOn ? { ok: true as const } : { ok: false as const, reason: 'off for a moment' })
    const same = await stack.worker({ name: 'same engine', ...place, probeEveryMs: 50, backends: [createShellBackend('docker', stack.root, { ...place, probe })] })
    await waitFor(() => same.status().modes[0]?.engine_id === 'one', { what: 'it to know its engine' })
    isOn = false
    await waitFor(() => same.status().modes[0]?.ok === false, { what: 'the mode to be off' })
    await stack.worker({ name: 'other engine', engineId: 'two', storageId: 's' })
    doomed.kill('SIGKILL')
    await waitFor(async () => (await stack.get(task.id)).route === 'one', { what: 'the route' })
    isOn = true
    expect(await stack.until(task.id, 'completed')).toMatchObject({ attempt: 1, worker: 'same engine', result: { output: 'begun\nended\n' } })
    expect((await stack.types(task.id)).filter((type) => type !== 'task.output')).toEqual(['task.queued', 'task.started', 'task.adopted', 'task.completed'])
  })

  test('it is resumed within its storage when nobody there is alive, and the event says what was lost', async () => {
    const task = await leftOn({ engine_id: 'gone', storage_id: 's' }, { max_attempts: 1 })
    await stack.worker({ engineId: 'two', storageId: 's' })
    expect(await stack.until(task.id, 'completed')).toMatchObject({ attempt: 1, claim: 2, handle: { engine_id: 'two' } })
    const resumed = (await stack.events(task.id)).find(({ type }) => type === 'task.resumed')
    expect(resumed?.payload).toMatchObject({ detail: 'no worker reaches the engine gone any more; the agent goes on with its session in its workspace' })
    expect(await outputOf(task.id)).toContain('You were interrupted')
  })

  test.each([{}, { checkpoint: true as const }])('it is a new attempt when its storage is out of reach, too, and the event says so %o', async (more) => {
    const task = await leftOn({ engine_id: 'gone', storage_id: 'elsewhere' }, more)
    await stack.worker({ engineId: 'two', storageId: 's' })
    expect(await stack.until(task.id, 'completed')).toMatchObject({ attempt: 2, result: { output: 'done\n' } })
    const retrying = (await stack.events(task.id)).find(({ type }) => type === 'task.retrying')
    expect(retrying?.payload).toMatchObject({ attempt: 1, failure: { code: 'backend_lost', message: 'the work of attempt 1 stayed on the storage elsewhere, which this worker does not have' } })
  })

  test('a pause is carried out where nobody reaches its engine, and is not held against the engine that its next owner has', async () => {
    const task = await leftOn({ engine_id: 'gone', storage_id: 's' })
    await stack.ledger.pause(task.id, 'op')
    const shell = createShellBackend('docker', stack.root, { engineId: 'two', storageId: 's' })
    const worker = await stack.worker({ engineId: 'two', storageId: 's', backends: [{ ...shell, checkpoint: () => Promise.reject(new Error('it lives on another host')) }] })
    expect(await stack.until(task.id, 'paused')).toMatchObject({ attempt: 1, handle: { engine_id: 'gone', checkpoint: true, paused: true } })
    expect(worker.status().modes).toMatchObject([{ ok: true }])
    await stack.ledger.resume(task.id, 'op')
    expect(await stack.until(task.id, 'completed')).toMatchObject({ attempt: 1, handle: { engine_id: 'two' } })
    expect(await outputOf(task.id)).toContain('Your task was paused')
  })

  test('with no attempt left that is its end', async () => {
    const task = await leftOn({ engine_id: 'gone', storage_id: 'elsewhere' }, { max_attempts: 1 })
    await stack.worker({ engineId: 'two', storageId: 's' })
    expect(await stack.until(task.id, 'failed')).toMatchObject({ failure: { code: 'backend_lost', message: expect.stringMatching(/no attempt is left$/) as string } })
    // Nobody here can say that nothing of it is left there.
    expect(await stack.ledger.debts(10)).toEqual([task.id])
  })
})
