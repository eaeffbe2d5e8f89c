import { startRedis, type RedisServer, waitFor } from '@longshore/testkit'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import type { TaskId } from '@longshore/contracts'

import { startStack, type TestStack } from './testing/stack.ts'

let server: RedisServer
let stack: TestStack
beforeAll(async () => {
  server = await startRedis({ aof: 'always' })
})
afterAll(() => server.stop())
beforeEach(async () => {
  stack = await startStack(server.url)
})
afterEach(() => stack.stop())

const outputOf = async (id: TaskId) => (await stack.events(id)).map((event) => (event.known && event.type === 'task.output' ? event.payload.text : '')).join('')
const saying = (id: TaskId, word: string) => waitFor(async () => (await outputOf(id)).includes(word), { what: `the task to say ${word}` })
const isGapFree = async (id: TaskId) => expect((await stack.events(id)).map(({ seq }, i) => seq - i)).toEqual(Array.from(await stack.events(id), () => 1))

/** Counts to `n`, 100 ms each; leaves one line per start of the script in `starts`. */
const counting = (n: number) => `echo started >> ${join(stack.root, 'starts')}; i=0; while [ $i -lt ${n} ]; do i=$((i+1)); echo line-$i; sleep 0.1; done`
const lines = (n: number) => Array.from({ length: n }, (_, i) => `line-${i + 1}\n`).join('')
const directoryOf = async (id: TaskId) => String((await stack.get(id)).handle?.data['dir'])
const killExecution = async (id: TaskId) => process.kill(-Number(await readFile(join(await directoryOf(id), 'pid'), 'utf8')), 'SIGKILL')
const starts = async () => (await readFile(join(stack.root, 'starts'), 'utf8')).split('\n').filter((line) => line !== '').length

/** G7, with default settings. */
const PROMISED_MS = 10_000

describe('G7, L-32: a worker that dies costs seconds, not the work', () => {
  test('SIGKILL: another adopts the running execution within 10 s, same attempt, nothing lost, nothing twice', async () => {
    const doomed = await stack.workerProcess('doomed')
    const task = await stack.submit(counting(120))
    await saying(task.id, 'line-3')
    await stack.worker({ name: 'heir' })
    doomed.kill('SIGKILL')
    const killedAt = performance.now()
    await waitFor(async () => (await stack.types(task.id)).includes('task.adopted'), { what: 'the adoption' })
    expect(performance.now() - killedAt).toBeLessThan(PROMISED_MS)
    const over = await stack.until(task.id, 'completed')
    expect(over).toMatchObject({ attempt: 1, worker: 'heir', claim: 2 })
    expect(await outputOf(task.id)).toBe(lines(120))
    expect(await starts()).toBe(1)
    await isGapFree(task.id)
  })

  test('SIGKILL of worker and execution: its session goes on in its workspace, same attempt, with a word about what happened', async () => {
    const doomed = await stack.workerProcess('doomed')
    const task = await stack.submit('if test -e begun; then echo two; else echo one; touch begun; sleep 100; fi')
    await saying(task.id, 'one')
    doomed.kill('SIGKILL')
    await killExecution(task.id)
    await stack.worker({ name: 'heir' })
    expect(await stack.until(task.id, 'completed')).toMatchObject({ attempt: 1, claim: 2, worker: 'heir' })
    expect(await stack.types(task.id)).toEqual(['task.queued', 'task.started', 'task.output', 'task.resumed', 'task.output', 'task.completed'])
    expect(await outputOf(task.id)).toBe('one\ntwo\n')
    const resumed = (await stack.events(task.id)).find(({ type }) => type === 'task.resumed')
    expect(resumed?.payload).toMatchObject({ attempt: 1, claim: 2, worker: 'heir', detail: 'its worker and its execution were lost; the agent goes on with its session in its workspace' })
    expect(await readFile(join(await directoryOf(task.id), 'notes'), 'utf8')).toContain('You were interrupted')
  })

  test('SIGKILL of worker and execution, and the session is gone: a new attempt, and the log says why', async () => {
    const doomed = await stack.workerProcess('doomed')
    const task = await stack.submit(counting(20))
    await saying(task.id, 'line-1')
    doomed.kill('SIGKILL')
    await killExecution(task.id)
    await rm(join(await directoryOf(task.id), 'script'))
    await stack.worker({ name: 'heir' })
    const over = await stack.until(task.id, 'completed')
    expect(over).toMatchObject({ attempt: 2 })
    const retrying = (await stack.events(task.id)).find((event) => event.type === 'task.retrying')
    expect(retrying?.payload).toMatchObject({ attempt: 1, failure: { code: 'worker_lost' } })
    await isGapFree(task.id)
  })

  test('the same with no attempt left ends the task with that reason', async () => {
    const task = await stack.submit('sleep 1', { max_attempts: 1 })
    const take = await stack.ledger.take({ task_id: task.id, n: 1 }, 'dead')
    if (take.kind !== 'taken') throw new Error('not taken')
    await stack.ledger.saveHandle({ taskId: task.id, claim: 1 }, { v: 1, mode: 'docker', data: { dir: join(stack.root, 'gone') } })
    await stack.worker()
    expect(await stack.until(task.id, 'failed')).toMatchObject({ failure: { code: 'worker_lost' } })
  })

  test('a worker that died before it began anything costs no attempt', async () => {
    const task = await stack.submit('echo fine', { max_attempts: 1 })
    await stack.ledger.take({ task_id: task.id, n: 1 }, 'dead')
    await stack.worker()
    expect(await stack.until(task.id, 'completed')).toMatchObject({ attempt: 1, claim: 2 })
    expect(await stack.types(task.id)).toEqual(['task.queued', 'task.started', 'task.resumed', 'task.output', 'task.completed'])
  })
})

test('G4: a worker that was suspended past its lock writes nothing more and leaves its successor alone', async () => {
  const suspended = await stack.workerProcess('suspended')
  const task = await stack.submit(counting(150))
  await saying(task.id, 'line-2')
  await stack.worker({ name: 'heir' })
  suspended.kill('SIGSTOP')
  await waitFor(async () => (await stack.types(task.id)).includes('task.adopted'), { what: 'the adoption' })
  suspended.kill('SIGCONT')
  const over = await stack.until(task.id, 'completed')
  expect(over).toMatchObject({ attempt: 1, worker: 'heir' })
  expect(await outputOf(task.id)).toBe(lines(150))
  expect(await starts()).toBe(1)
  await isGapFree(task.id)
})

test('G12, L-34: SIGTERM under load exits 0; what ran is handed over and completed in the same attempt, nothing is lost', async () => {
  const leaving = await stack.workerProcess('leaving')
  const left = join(stack.root, 'left')
  const tasks = await Promise.all(Array.from({ length: 6 }, (_, i) => stack.submit(`echo begun; test -e ${left} || sleep 100; echo ${i}`)))
  await waitFor(async () => (await stack.ledger.counts()).running === 3, { what: 'all slots to be taken' })
  leaving.kill('SIGTERM')
  expect(await leaving.exited).toBe(0)
  expect(await stack.ledger.counts()).toMatchObject({ running: 0, queued: 6 })
  await writeFile(left, '')
  await stack.worker({ name: 'next' })
  const over = await Promise.all(tasks.map(({ id }) => stack.until(id, 'completed')))
  expect(over.map(({ attempt }) => attempt)).toEqual([1, 1, 1, 1, 1, 1])
  const reasons = (await Promise.all(tasks.map(({ id }) => stack.events(id)))).flat().flatMap((event) => (event.known && event.type === 'task.queued' ? [event.payload.reason] : []))
  expect(reasons.filter((reason) => reason === 'handover')).toHaveLength(3)
  await waitFor(async () => (await stack.ledger.debts(10)).length === 0, { what: 'nothing to be left' })
})

test('a drain waits for tasks that end within the grace period', async () => {
  const worker = await stack.worker({ drainGraceMs: 60_000 })
  const task = await stack.submit('echo begun; sleep 0.5; echo ended')
  await saying(task.id, 'begun')
  await worker.stop()
  expect(await stack.get(task.id)).toMatchObject({ state: 'completed', attempt: 1 })
})

test('G1: Redis that is killed and comes back (AOF) loses no task, and the workers go on by themselves', async () => {
  await stack.worker()
  const tasks = await Promise.all(Array.from({ length: 8 }, (_, i) => stack.submit(`echo ${i}; sleep 0.7`)))
  await waitFor(async () => (await stack.ledger.counts()).running === 3, { what: 'some to run' })
  await server.kill9()
  await server.restart()
  const over = await Promise.all(tasks.map(({ id }) => stack.untilOver(id)))
  expect(over.map(({ state, result }) => [state, result?.output])).toEqual(tasks.map((_, i) => ['completed', `${i}\n`]))
  for (const { id } of tasks) await isGapFree(id)
})
