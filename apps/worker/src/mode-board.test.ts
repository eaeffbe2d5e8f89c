import { sharedRedisUrl, waitFor } from '@longshore/testkit'
import { Registry } from 'prom-client'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'

import { type Backend, SILENT, TaskFailure } from '@longshore/contracts'
import { createHeartbeats } from '@longshore/queue'

import { watchModes } from './mode-board.ts'
import { createShellBackend } from './testing/shell-backend.ts'
import { startStack, type TestStack } from './testing/stack.ts'
import { watchBreakers } from './worker-metrics.ts'

let stack: TestStack
beforeEach(async () => {
  stack = await startStack(sharedRedisUrl())
})
afterEach(() => stack.stop())

/** A place whose probe is good and that fails every start while `isBroken`: what a probe cannot see. */
function fragile(mode: Backend['mode']): { backend: Backend; starts: number[]; isBroken: boolean } {
  const shell = createShellBackend(mode, stack.root, { engineId: 'E1' })
  const place = { isBroken: true, starts: new Array<number>(), backend: { ...shell, start: async (...[task, run]: Parameters<Backend['start']>) => {
    place.starts.push(performance.now())
    if (!place.isBroken) return shell.start(task, run)
    await run.onHandle({ v: 1, mode, data: { dir: `${stack.root}/never` } })
    throw new TaskFailure('image_pull', 'the registry does not answer')
  } } }
  return place
}

test('a mode that is off is looked at again soon, however long the next regular look is away', async () => {
  const answers = [{ ok: false as const, reason: 'the engine is busy' }]
  const backend = { ...createShellBackend('docker', stack.root), probe: () => Promise.resolve(answers.pop() ?? { ok: true as const }) }
  const board = watchModes({ backends: [backend], breaker: { failures: 3, openMs: 50 }, everyMs: 600_000, onChange: () => undefined, log: SILENT })
  await waitFor(() => board.reports()[0]?.reason === 'the engine is busy', { what: 'the mode to be off' })
  await waitFor(() => board.admits('docker') === true, { what: 'the mode to be on' })
  expect(board.reports()[0]).toMatchObject({ mode: 'docker', ok: true })
  await board.stop()
})

describe('a circuit breaker', () => {
  test('closes its mode after failures of the place, burns no attempt while it is open, tries one task at a time, and closes when one begins', async () => {
    const place = fragile('docker')
    const worker = await stack.worker({ backends: [place.backend, createShellBackend('opencode', stack.root)], breaker: { failures: 2, openMs: 200 }, retryDelayMs: 10 })
    const tasks = await Promise.all(Array.from({ length: 3 }, () => stack.submit('echo done', { max_attempts: 2 })))
    // More tries than all their attempts together.
    await waitFor(() => place.starts.length >= 7, { what: 'tries of an open breaker' })
    expect(worker.status().modes[0]).toMatchObject({ mode: 'docker', ok: false, engine_id: 'E1', reason: expect.stringMatching(/^the breaker is open after \d+ failures of its place in a row \(last: image_pull: the registry does not answer\); tries one task/) as string })
    expect(await stack.until((await stack.submit('echo other', { mode: 'opencode' })).id, 'completed')).toMatchObject({ attempt: 1 })
    place.isBroken = false
    for (const { id } of tasks) {
      const { attempt } = await stack.until(id, 'completed')
      expect(attempt).toBeLessThanOrEqual(2)
    }
    expect(worker.status().modes[0]).toMatchObject({ ok: true })
    // Three run at once and may fail together; after that the waits grow.
    const gaps = place.starts.slice(3, 7).map((at, i, all) => at - (all[i - 1] ?? at)).slice(1)
    expect(gaps.every((gap) => gap >= 195)).toBe(true)
  })

  test('looks again when the timer of its try is early: nobody else would', async () => {
    const real = globalThis.setTimeout
    const early = vi.spyOn(globalThis, 'setTimeout').mockImplementation((act: () => void, ms = 0) => real(act, Math.max(0, ms - 3)))
    const board = watchModes({ backends: [createShellBackend('docker', stack.root)], breaker: { failures: 1, openMs: 50 }, onChange: (mode) => seen.push(board.admits(mode)), log: SILENT })
    const seen: (boolean | 'one')[] = []
    try {
      await waitFor(() => board.admits('docker') === true, { what: 'the mode to be on' })
      board.failed('docker', { code: 'backend_unavailable', message: 'no engine' })
      await waitFor(() => seen.at(-1) === 'one', { what: 'the breaker to say that it tries one' })
      expect(seen).toContain(false)
    } finally {
      early.mockRestore()
      await board.stop()
    }
  })

  test('is a figure for each mode', async () => {
    const registry = new Registry()
    const board = watchModes({ backends: [createShellBackend('docker', stack.root), createShellBackend('opencode', stack.root)], breaker: { failures: 1, openMs: 60_000 }, onChange: () => undefined, log: SILENT })
    watchBreakers(registry, board)
    board.failed('docker', { code: 'backend_unavailable', message: 'no engine' })
    expect(await registry.metrics()).toContain('longshore_breaker_open{mode="docker"} 1\nlongshore_breaker_open{mode="opencode"} 0')
    await board.stop()
  })
})

test('a worker says which engine each of its modes reaches, as long as it lives: also while that does not answer', async () => {
  let isThere = true
  const backend = createShellBackend('docker', stack.root, { engineId: 'E1', probe: () => Promise.resolve(isThere ? { ok: true } : { ok: false, reason: 'no answer' }) })
  await stack.worker({ name: 'here', backends: [backend], probeEveryMs: 50 })
  const report = async () => (await createHeartbeats(stack.redis, stack.deployment).list()).find(({ name }) => name === 'here')?.modes[0]
  await waitFor(async () => (await report())?.ok, { what: 'the mode to be on' })
  expect(await report()).toMatchObject({ engine_id: 'E1', capabilities: { resume: true } })
  isThere = false
  await waitFor(async () => (await report())?.ok === false, { what: 'the mode to be off' })
  expect(await report()).toMatchObject({ engine_id: 'E1', reason: 'no answer' })
})

test('a backend that cannot say which engine it reaches is off, with the reason', async () => {
  const backend: Backend = { ...createShellBackend('docker', stack.root), engineId: () => Promise.reject(new TaskFailure('backend_unavailable', 'the engine went away')) }
  const worker = await stack.worker({ backends: [backend] })
  await waitFor(() => worker.status().modes[0]?.reason !== 'not probed yet', { what: 'the probe' })
  expect(worker.status().modes[0]).toMatchObject({ ok: false, reason: 'the engine went away' })
})
