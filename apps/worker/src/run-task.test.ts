import { sharedRedisUrl, waitFor } from '@longshore/testkit'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import type { Task } from '@longshore/contracts'

import { BUSY_EXIT, createShellBackend, HANGING_START } from './testing/shell-backend.ts'
import { startStack, type TestStack } from './testing/stack.ts'

let stack: TestStack
beforeEach(async () => {
  stack = await startStack(sharedRedisUrl())
})
afterEach(() => stack.stop())

const outputOf = async (task: Pick<Task, 'id'>) => (await stack.events(task.id)).map((event) => (event.known && event.type === 'task.output' ? event.payload.text : '')).join('')
const debtsStruck = () => waitFor(async () => (await stack.ledger.debts(10)).length === 0, { what: 'the debts to be struck' })
const runningSince = (task: Task) => waitFor(async () => (await outputOf(task)).includes('begun'), { what: 'the script to have begun' })

test('a task runs in its mode, with its output in a gap-free log, and leaves nothing', async () => {
  await stack.worker()
  const tasks = await Promise.all([stack.submit('echo one; echo two', { mode: 'docker' }), stack.submit('echo three', { mode: 'opencode' })])
  const [first, second] = await Promise.all(tasks.map(({ id }) => stack.until(id, 'completed')))
  expect(first?.result).toEqual({ output: 'one\ntwo\n', output_truncated: false, files_changed: 0 })
  expect(second?.result?.output).toBe('three\n')
  const events = await stack.events(tasks[0].id)
  expect(events.map(({ seq }) => seq)).toEqual(events.map((_, i) => i + 1))
  expect(events.map(({ type }) => type)).toEqual(['task.queued', 'task.started', 'task.output', 'task.completed'])
  await debtsStruck()
})

describe('failures', () => {
  test('one that may pass is tried again with a growing delay until no attempt is left', async () => {
    await stack.worker()
    const task = await stack.submit(`exit ${BUSY_EXIT}`, { max_attempts: 3 })
    const over = await stack.until(task.id, 'failed')
    expect(over).toMatchObject({ attempt: 3, failure: { code: 'provider_busy' } })
    const delays = (await stack.events(task.id)).flatMap((event) => (event.known && event.type === 'task.retrying' ? [event.payload.delay_ms] : []))
    expect(delays).toHaveLength(2)
    expect(delays[0]).toBeGreaterThanOrEqual(50)
    expect(delays[1]).toBeGreaterThanOrEqual(100)
  })

  test('one that stays ends the task at once, with what the agent said', async () => {
    await stack.worker()
    const task = await stack.submit('echo no way; exit 1')
    expect(await stack.until(task.id, 'failed')).toMatchObject({ attempt: 1, failure: { code: 'agent_error' }, result: { output: 'no way\n' } })
  })

  test('a retry that succeeds completes the task', async () => {
    await stack.worker()
    const marker = join(stack.root, 'tried')
    const task = await stack.submit(`test -e ${marker} || { touch ${marker}; exit ${BUSY_EXIT}; }; echo fine`)
    expect(await stack.until(task.id, 'completed')).toMatchObject({ attempt: 2, result: { output: 'fine\n' } })
  })
})

describe('cancel', () => {
  test('a running task is over in less than 2 s and its processes are gone', async () => {
    await stack.worker()
    const pidFile = join(stack.root, 'pid')
    const task = await stack.submit(`echo $$ > ${pidFile}; echo begun; sleep 100`)
    await runningSince(task)
    const asked = performance.now()
    expect(await stack.ledger.cancel(task.id, 'agent-a', 'changed my mind')).toMatchObject({ outcome: 'requested' })
    expect(await stack.until(task.id, 'cancelled')).toMatchObject({ result: { output: 'begun\n' } })
    expect(performance.now() - asked).toBeLessThan(2_000)
    const pid = Number(await readFile(pidFile, 'utf8'))
    await waitFor(() => !isAlive(pid), { what: 'the script to be gone' })
    await debtsStruck()
  })

  test('a queued task is over at once and its ticket does nothing', async () => {
    const task = await stack.submit('echo never')
    expect(await stack.ledger.cancel(task.id, 'agent-a')).toMatchObject({ outcome: 'ended' })
    await stack.worker()
    await waitFor(async () => (await stack.producer.counts()).docker.waiting === 0, { what: 'the ticket to be taken' })
    expect(await stack.types(task.id)).toEqual(['task.queued', 'task.cancelled'])
  })

  test('G3, L-13: racing with completion it gives one ending, fifty times', async () => {
    await stack.worker({ concurrency: 5 })
    const tasks = await Promise.all(Array.from({ length: 50 }, () => stack.submit('true')))
    const states = await Promise.all(tasks.map(async (task) => {
      await waitFor(async () => (await stack.get(task.id)).state !== 'queued', { what: 'the task to be taken', everyMs: 3 })
      await stack.ledger.cancel(task.id, 'agent-a')
      return (await stack.untilOver(task.id)).state
    }))
    const ends = await Promise.all(tasks.map(async ({ id }) => (await stack.types(id)).filter((type) => ['task.completed', 'task.cancelled', 'task.failed', 'task.timeout'].includes(type))))
    expect(ends).toEqual(states.map((state) => [`task.${state}`]))
    await debtsStruck()
  })
})

describe('G9: the deadline', () => {
  test('ends a task that goes on and on, and leaves nothing of it', async () => {
    await stack.worker()
    const pidFile = join(stack.root, 'pid')
    const task = await stack.submit(`echo $$ > ${pidFile}; trap '' TERM; echo begun; while :; do sleep 1; done`, { timeout_ms: 4_000 })
    const over = await stack.until(task.id, 'timeout')
    expect(over).toMatchObject({ limit: 'timeout_ms', result: { output: 'begun\n' } })
    expect((over.ended_at ?? 0) - (over.deadline_at ?? 0)).toBeLessThan(1_000)
    const pid = Number(await readFile(pidFile, 'utf8'))
    await waitFor(() => !isAlive(pid), { what: 'the script to be gone' })
    await debtsStruck()
  })

  test('ends a task whose backend hangs in its start', async () => {
    await stack.worker()
    const task = await stack.submit(HANGING_START, { timeout_ms: 1_000 })
    expect(await stack.until(task.id, 'timeout')).toMatchObject({ limit: 'timeout_ms' })
  })
})

test('a mode whose probe fails takes nothing and says why; the other mode goes on; it comes back by itself', async () => {
  let isUp = false
  const probe = () => Promise.resolve(isUp ? { ok: true as const } : { ok: false as const, reason: 'the engine does not answer' })
  const worker = await stack.worker({ probeEveryMs: 100, backends: [createShellBackend('docker', stack.root, { probe }), createShellBackend('opencode', stack.root)] })
  const [docker, opencode] = await Promise.all([stack.submit('true', { mode: 'docker' }), stack.submit('true', { mode: 'opencode' })])
  await stack.until(opencode.id, 'completed')
  expect(worker.status().modes).toMatchObject([{ mode: 'docker', ok: false, reason: 'the engine does not answer' }, { mode: 'opencode', ok: true, isolation: 'process' }])
  expect((await stack.get(docker.id)).state).toBe('queued')
  isUp = true
  expect(await stack.until(docker.id, 'completed')).toMatchObject({ attempt: 1 })
})

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
