import { sharedRedisUrl, startRedis, waitFor } from '@longshore/testkit'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { type Backend, type TaskId, TaskFailure } from '@longshore/contracts'

import type { RunningWorker } from './create-worker.ts'
import { BUSY_EXIT, createShellBackend } from './testing/shell-backend.ts'
import { startStack, type TestStack } from './testing/stack.ts'

let stack: TestStack
beforeEach(async () => {
  stack = await startStack(sharedRedisUrl())
})
afterEach(() => stack.stop())

/** Says `one`, then waits to be killed; started again in its directory it says `two` and ends. */
const TWICE = 'if test -e begun; then echo two; else echo one; touch begun; sleep 100; fi'
/** Ends its whole process group, as a container that is killed does. */
const LOST = 'echo run; kill -9 -$(cat pid)'

const outputOf = async (id: TaskId) => (await stack.events(id)).map((event) => (event.known && event.type === 'task.output' ? event.payload.text : '')).join('')
const saying = (id: TaskId, word: string) => waitFor(async () => (await outputOf(id)).includes(word), { what: `the task to say ${word}` })
const pidOf = async (id: TaskId) => Number(await readFile(join(String((await stack.get(id)).handle?.data['dir']), 'pid'), 'utf8'))
const resumes = async (id: TaskId) => (await stack.events(id)).flatMap((event) => (event.known && event.type === 'task.resumed' ? [event.payload] : []))

describe('G7: an execution that is lost under a living worker', () => {
  test('goes on in another with its session, in the same attempt and take, and what follows stands after the event that says so', async () => {
    await stack.worker()
    const task = await stack.submit(TWICE)
    await saying(task.id, 'one')
    process.kill(-(await pidOf(task.id)), 'SIGKILL')
    expect(await stack.until(task.id, 'completed')).toMatchObject({ attempt: 1, claim: 1, result: { output: 'one\ntwo\n' } })
    expect(await stack.types(task.id)).toEqual(['task.queued', 'task.started', 'task.output', 'task.resumed', 'task.output', 'task.completed'])
    expect(await outputOf(task.id)).toBe('one\ntwo\n')
    expect(await resumes(task.id)).toMatchObject([{ attempt: 1, claim: 1, detail: 'its execution was lost (the shell is gone); the agent goes on with its session in its workspace' }])
  })

  test('what it still had to say is written down before it is removed, and stands before the event that says so', async () => {
    const shell = createShellBackend('docker', stack.root)
    const draining: Backend = { ...shell, resume: async (task, handle, run, note) => {
      await run.emit([{ type: 'task.output', payload: { text: 'last words\n', stream: 'stdout' } }])
      return shell.resume(task, handle, run, note)
    } }
    await stack.worker({ backends: [draining] })
    const task = await stack.submit(TWICE)
    await saying(task.id, 'one')
    process.kill(-(await pidOf(task.id)), 'SIGKILL')
    await stack.until(task.id, 'completed')
    expect(await stack.types(task.id)).toEqual(['task.queued', 'task.started', 'task.output', 'task.output', 'task.resumed', 'task.output', 'task.completed'])
    expect(await outputOf(task.id)).toBe('one\nlast words\ntwo\n')
  })

  test('goes on three times per take; then the retry policy has its turn', async () => {
    await stack.worker()
    const task = await stack.submit(LOST, { max_attempts: 1 })
    expect(await stack.until(task.id, 'failed')).toMatchObject({ attempt: 1, failure: { code: 'backend_lost' } })
    expect(await resumes(task.id)).toHaveLength(3)
    expect(await outputOf(task.id)).toBe('run\n'.repeat(4))
    await waitFor(async () => (await stack.ledger.debts(10)).length === 0, { what: 'nothing to be left' })
  })

  test('is tried again as before where its backend cannot resume', async () => {
    await stack.worker({ backends: [createShellBackend('docker', stack.root, { capabilities: { resume: false } })] })
    const task = await stack.submit(LOST, { max_attempts: 2 })
    expect(await stack.until(task.id, 'failed')).toMatchObject({ attempt: 2, failure: { code: 'backend_lost' } })
    expect(await resumes(task.id)).toEqual([])
  })

  test('a cancel is carried out while the resume hangs, and nothing is left', async () => {
    const shell = createShellBackend('docker', stack.root)
    const hanging: Backend = { ...shell, resume: (_task, _handle, run) => new Promise((_resolve, reject) => run.signal.addEventListener('abort', () => reject(run.signal.reason as Error))) }
    await stack.worker({ backends: [hanging] })
    const task = await stack.submit(LOST)
    await saying(task.id, 'run')
    const asked = performance.now()
    await stack.ledger.cancel(task.id, 'agent-a')
    expect(await stack.untilOver(task.id)).toMatchObject({ state: 'cancelled', result: { output: 'run\n' } })
    expect(performance.now() - asked).toBeLessThan(2_000)
    await waitFor(async () => (await stack.ledger.debts(10)).length === 0, { what: 'the debt to be struck' })
    expect(await shell.list()).toEqual([])
  })

  test('the deadline holds while the resume hangs (G9)', async () => {
    const hanging: Backend = { ...createShellBackend('docker', stack.root), resume: () => new Promise(() => undefined) }
    await stack.worker({ backends: [hanging] })
    const task = await stack.submit(LOST, { timeout_ms: 1_500 })
    expect(await stack.untilOver(task.id)).toMatchObject({ state: 'timeout', limit: 'timeout_ms' })
  })

  test('a place that is silent for a moment is asked again: no attempt is burnt', async () => {
    const shell = createShellBackend('docker', stack.root)
    let asked = 0
    const silent: Backend = { ...shell, resume: async (...args) => {
      asked += 1
      if (asked < 3) throw new TaskFailure('backend_unavailable', 'the engine does not answer')
      return shell.resume(...args)
    } }
    await stack.worker({ backends: [silent] })
    const task = await stack.submit(TWICE, { max_attempts: 1 })
    await saying(task.id, 'one')
    process.kill(-(await pidOf(task.id)), 'SIGKILL')
    expect(await stack.until(task.id, 'completed')).toMatchObject({ attempt: 1, claim: 1, result: { output: 'one\ntwo\n' } })
    expect(asked).toBe(3)
  })
})

describe('G7: at a takeover', () => {
  const silent = () => Promise.reject(new TaskFailure('backend_unavailable', 'the engine is down'))
  /** Takes the task from a worker that does not notice before its next write: as after a death, and at once. */
  const takenFrom = async (first: RunningWorker, id: TaskId, heir: Backend) => {
    await stack.ledger.reissue(id, 1)
    await stack.worker({ backends: [heir], name: 'heir', probeEveryMs: 100 })
    await waitFor(async () => (await stack.get(id)).worker === 'heir', { what: 'the takeover' })
    await first.stop()
  }

  test('a place that stays silent gives the task back with its handle; whoever takes it when the place is back adopts', async () => {
    const first = await stack.worker({ concurrency: 1 })
    const task = await stack.submit('echo begun; sleep 5; echo ended', { max_attempts: 1 })
    await saying(task.id, 'begun')
    let state: 'up' | 'down' | 'up again' = 'up'
    const shell = createShellBackend('docker', stack.root, { probe: () => Promise.resolve(state === 'down' ? { ok: false, reason: 'the engine is down' } : { ok: true }) })
    await takenFrom(first, task.id, { ...shell, resume: silent, attach: (...args) => {
      if (state === 'up again') return shell.attach(...args)
      state = 'down'
      return silent()
    } })
    await stack.until(task.id, 'queued')
    state = 'up again'
    expect(await stack.until(task.id, 'completed')).toMatchObject({ attempt: 1, worker: 'heir', result: { output: 'begun\nended\n' } })
    expect(await stack.types(task.id)).toEqual(['task.queued', 'task.started', 'task.output', 'task.queued', 'task.adopted', 'task.output', 'task.completed'])
  })

  test('an execution that hangs on a place that is fine is ended, and its session goes on', async () => {
    const first = await stack.worker({ concurrency: 1 })
    const task = await stack.submit(TWICE, { max_attempts: 1 })
    await saying(task.id, 'one')
    const pid = await pidOf(task.id)
    await takenFrom(first, task.id, { ...createShellBackend('docker', stack.root), attach: silent })
    expect(await stack.until(task.id, 'completed')).toMatchObject({ attempt: 1, claim: 2, result: { output: 'one\ntwo\n' } })
    expect(await resumes(task.id)).toMatchObject([{ detail: 'its worker was lost, and its execution did not answer; the agent goes on with its session in its workspace' }])
    expect(() => process.kill(pid, 0)).toThrow('ESRCH')
  })
})

// The worker is the parent of the script's shell.
const DEADLY = 'kill -9 $(cut -d" " -f4 /proc/$(cat pid)/stat); kill -9 -$(cat pid)'

test('L-32: a task that kills its workers again and again ends as failed (poison), nothing of it is left, and it stands on the list', async () => {
  const doomed = await stack.workerProcess('doomed-1')
  const task = await stack.submit(DEADLY)
  await doomed.exited
  const heir = await stack.workerProcess('doomed-2')
  await heir.exited
  await stack.worker({ name: 'survivor', poisonLimit: 2 })
  const over = await stack.untilOver(task.id)
  expect(over).toMatchObject({ state: 'failed', attempt: 1, crashes: 2, failure: { code: 'poison', message: '2 workers in a row died while they held this task, each within a minute of taking it; it is not given to another' } })
  expect((await stack.ledger.poisoned(10)).map(({ id }) => id)).toEqual([task.id])
  await waitFor(async () => (await stack.ledger.debts(10)).length === 0, { what: 'the debt to be struck' })
  expect(await createShellBackend('docker', stack.root).list()).toEqual([])
})

test('the neighbours of a task that kills its workers are not poisoned with it: suspects are at work one at a time', async () => {
  const innocent = 'sleep 45; echo ended'
  const [deadly, ...others] = [await stack.submit(DEADLY), await stack.submit(innocent), await stack.submit(innocent)]
  for (let n = 1; n <= 5; n++) await (await stack.workerProcess(`doomed-${n}`)).exited
  await stack.worker({ name: 'survivor' })
  expect(await stack.untilOver(deadly.id, 120_000)).toMatchObject({ state: 'failed', crashes: 5, failure: { code: 'poison' } })
  for (const { id } of others) expect(await stack.untilOver(id, 120_000)).toMatchObject({ state: 'completed', attempt: 1 })
}, 300_000)

test('a worker that lets go of a task because its Redis hung does not count as dead', async () => {
  const redis = await startRedis({ aof: 'always' })
  const own = await startStack(redis.url)
  try {
    await own.worker({ name: 'only' })
    const task = await own.submit('sleep 100; echo ended')
    await own.until(task.id, 'running')
    for (let claim = 1; claim < 3; claim++) {
      redis.stall(6_500) // longer than the lock
      await waitFor(async () => (await own.get(task.id)).claim > claim, { what: 'it to be taken again' })
    }
    expect((await own.get(task.id)).crashes ?? 0).toBe(0)
  } finally {
    await own.stop()
    await redis.stop()
  }
}, 120_000)

test('what a failed attempt may have left is ended before the next one starts beside it', async () => {
  let [disposals, left] = [0, 0]
  const shell = createShellBackend('docker', stack.root)
  const backend: Backend = { ...shell, dispose: (handle, run) => {
    disposals += 1
    if (disposals > 3) return shell.dispose(handle, run)
    left = disposals
    return Promise.reject(new Error('the engine does not answer'))
  } }
  // It fails and leaves a child at work, as a stalled session does that ignores its abort.
  const task = await stack.submit(`if [ -e ${stack.root}/again ]; then echo second; else touch ${stack.root}/again; (while :; do echo first >> ${stack.root}/work; sleep 0.1; done) & exit ${BUSY_EXIT}; fi`)
  await stack.worker({ backends: [backend], concurrency: 1 })
  expect(await stack.untilOver(task.id)).toMatchObject({ state: 'completed', attempt: 2 })
  expect(left).toBe(3)
  expect(await shell.list()).toEqual([])
})
