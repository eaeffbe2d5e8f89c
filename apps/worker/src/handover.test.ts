import { sharedRedisUrl, waitFor } from '@longshore/testkit'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import type { TaskId } from '@longshore/contracts'

import { BUSY_EXIT, createShellBackend } from './testing/shell-backend.ts'
import { startStack, type TestStack } from './testing/stack.ts'

let stack: TestStack
beforeEach(async () => {
  stack = await startStack(sharedRedisUrl())
})
afterEach(() => stack.stop())

const TWICE = 'if test -e begun; then echo two; else echo one; touch begun; sleep 100; fi'
const outputOf = async (id: TaskId) => (await stack.events(id)).map((event) => (event.known && event.type === 'task.output' ? event.payload.text : '')).join('')
const saying = (id: TaskId, word: string) => waitFor(async () => (await outputOf(id)).includes(word), { what: `the task to say ${word}` })
const pidOf = async (id: TaskId) => Number(await readFile(join(String((await stack.get(id)).handle?.data['dir']), 'pid'), 'utf8'))
const detailOf = async (id: TaskId) => (await stack.events(id)).flatMap((event) => (event.known && event.type === 'task.resumed' ? [event.payload.detail] : []))
const isAlive = (pid: number) => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

describe('G12, L-34: a worker that is told to stop', () => {
  test('leaves what runs to another that is there: adopted, not touched, nothing said twice', async () => {
    const leaving = await stack.worker({ name: 'leaving' })
    const left = join(stack.root, 'left')
    const task = await stack.submit(`i=0; while [ $i -lt 60 ]; do i=$((i+1)); echo $i; sleep 0.1; while [ $i -eq 30 ] && [ ! -e ${left} ]; do sleep 0.1; done; done`)
    await saying(task.id, '3\n')
    const pid = await pidOf(task.id)
    await stack.worker({ name: 'next', probeEveryMs: 100 })
    await stack.untilThere('next')
    await leaving.stop()
    expect(isAlive(pid)).toBe(true)
    await writeFile(left, '')
    expect(await stack.until(task.id, 'completed')).toMatchObject({ attempt: 1, worker: 'next' })
    expect((await stack.types(task.id)).filter((type) => type !== 'task.output')).toEqual(['task.queued', 'task.started', 'task.queued', 'task.adopted', 'task.completed'])
    expect(await outputOf(task.id)).toBe(Array.from({ length: 60 }, (_, i) => `${i + 1}\n`).join(''))
  })

  test('without another it ends what runs and keeps the session; the next start resumes it', async () => {
    const leaving = await stack.worker()
    const task = await stack.submit(TWICE, { max_attempts: 1 })
    await saying(task.id, 'one')
    const pid = await pidOf(task.id)
    await leaving.stop()
    expect(isAlive(pid)).toBe(false)
    expect(await stack.get(task.id)).toMatchObject({ state: 'queued', handle: { checkpoint: true } })
    await stack.worker({ name: 'next' })
    const over = await stack.until(task.id, 'completed')
    expect(over).toMatchObject({ attempt: 1, worker: 'next', result: { output: 'one\ntwo\n' } })
    expect(over.handle?.checkpoint).toBeUndefined()
    expect(await detailOf(task.id)).toEqual(['its last worker handed it over; the agent goes on with its session in its workspace'])
  })

  test('two that stop at once do not leave their tasks to each other', async () => {
    const workers = [await stack.worker(), await stack.worker()]
    const tasks = await Promise.all([stack.submit(TWICE), stack.submit(TWICE), stack.submit(TWICE), stack.submit(TWICE)])
    for (const { id } of tasks) await saying(id, 'one')
    const pids = await Promise.all(tasks.map(({ id }) => pidOf(id)))
    await Promise.all(workers.map((worker) => worker.stop()))
    expect(pids.filter(isAlive)).toEqual([])
    await stack.worker({ concurrency: 4 })
    for (const { id } of tasks) expect(await stack.until(id, 'completed')).toMatchObject({ attempt: 1, result: { output: 'one\ntwo\n' } })
  })

  test('a backend that can neither adopt nor resume starts again in its workspace, in the same attempt', async () => {
    const backends = [createShellBackend('docker', stack.root, { capabilities: { adopt: false, resume: false } })]
    const leaving = await stack.worker({ backends })
    const marker = join(stack.root, 'begun')
    const task = await stack.submit(`if test -e ${marker}; then echo two; else echo one; touch ${marker}; sleep 100; fi`, { max_attempts: 1 })
    await saying(task.id, 'one')
    await leaving.stop()
    await stack.worker({ backends, name: 'next' })
    expect(await stack.until(task.id, 'completed')).toMatchObject({ attempt: 1, result: { output: 'two\n' } })
    expect(await detailOf(task.id)).toEqual(['its last worker handed it over; started again in its workspace'])
  })

  test('a task whose start was cut off is begun again, also when another worker is there: no attempt is burnt', async () => {
    const shell = createShellBackend('docker', stack.root)
    const slow = { ...shell, start: async (...[task, run]: Parameters<typeof shell.start>) => {
      await run.onHandle({ v: 1, mode: 'docker', data: { dir: join(stack.root, `${task.id}-${run.claim}`) } })
      return new Promise<never>((_resolve, reject) => run.signal.addEventListener('abort', () => reject(run.signal.reason as Error)))
    } }
    const leaving = await stack.worker({ backends: [slow] })
    const task = await stack.submit('echo fine', { max_attempts: 1 })
    await waitFor(async () => (await stack.get(task.id)).handle, { what: 'the handle' })
    await stack.worker({ name: 'next' })
    await leaving.stop()
    expect(await stack.until(task.id, 'completed')).toMatchObject({ attempt: 1, result: { output: 'fine\n' } })
  })
})

test('G4, G12: a worker that is suspended in the middle of its checkpoint and comes back does not end its successor\'s execution', async () => {
  const suspended = await stack.workerProcess('suspended', { suspendIn: 'checkpoint' })
  const task = await stack.submit('if test -e begun; then echo two; sleep 5; echo three; else echo one; touch begun; sleep 100; fi')
  await saying(task.id, 'one')
  suspended.kill('SIGTERM')
  await waitFor(async () => (await stack.get(task.id)).handle?.checkpoint, { what: 'the checkpoint to begin' })
  await stack.worker({ name: 'heir' })
  await waitFor(async () => (await outputOf(task.id)).includes('two'), { what: 'the second run' })
  suspended.kill('SIGCONT')
  expect(await suspended.exited).toBe(0)
  expect(await stack.until(task.id, 'completed')).toMatchObject({ attempt: 1, claim: 2, worker: 'heir', result: { output: 'one\ntwo\nthree\n' } })
  expect(await stack.types(task.id)).toEqual(['task.queued', 'task.started', 'task.output', 'task.resumed', 'task.output', 'task.output', 'task.completed'])
})

test('G4: a worker that is suspended in the middle of its cleaning up after a failed attempt and comes back changes nothing', async () => {
  const suspended = await stack.workerProcess('suspended', { suspendIn: 'dispose' })
  const marker = join(stack.root, 'tried')
  const task = await stack.submit(`test -e ${marker} || { touch ${marker}; exit ${BUSY_EXIT}; }; echo begun; sleep 5; echo ended`)
  await waitFor(() => isStopped(suspended.pid), { what: 'the worker to be suspended' })
  await stack.worker({ name: 'heir' })
  await waitFor(async () => (await outputOf(task.id)).includes('begun'), { what: 'the second attempt' })
  const { claim, ticket } = await stack.get(task.id)
  suspended.kill('SIGCONT')
  expect(await stack.until(task.id, 'completed')).toMatchObject({ attempt: 2, worker: 'heir', claim, ticket, result: { output: 'begun\nended\n' } })
  expect((await stack.types(task.id)).filter((type) => type === 'task.retrying')).toHaveLength(1)
})

async function isStopped(pid: number): Promise<boolean> {
  return / T /.test((await readFile(`/proc/${pid}/stat`, 'utf8')).replace(/\(.*\)/, ''))
}
