import { MODES } from '@longshore/contracts'
import { describeNeeding, waitFor } from '@longshore/testkit'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import {
  engineIfHere, expectWholeLog, leftoversOf, NEEDS, nothingLeftOf, showLogsOfFailures, type Stack, startStack, untilStep,
} from './harness/index.ts'

const TIMEOUT_MS = 40_000
/** The execution's own watchdog leaves the worker the first word. */
const SLACK_MS = 15_000
/** Hangs, with a child that ignores signals and left its process group. */
const WORK = '[[bash echo step-1 >> steps.txt; (trap "" TERM INT HUP; exec setsid sleep 300) >/dev/null 2>&1 & echo begun]] [[hang]]'

describe('G9: deadlines hold', { timeout: 300_000 }, () => {
  let stack: Stack
  beforeAll(async () => {
    stack = await startStack({ workers: 0, engine: await engineIfHere() })
  })
  afterEach(() => Promise.all(stack.apps('worker').map((one) => one.stop())))
  afterAll(() => stack.stop())
  showLogsOfFailures(() => stack)
  const places = (): { engineSocket: string | undefined } => ({ engineSocket: stack.engine?.socket })

  describeNeeding(NEEDS.docker, 'with nobody there', () => {
    test('no worker is alive at the deadline: the executions end themselves with all their children, and who comes next says timeout', async () => {
      const first = await stack.add('worker')
      const ids = await Promise.all(MODES.map(async (mode) => (await stack.alice.submit(WORK, { mode, timeout_ms: TIMEOUT_MS })).task_id))
      await Promise.all(ids.map((id) => untilStep(stack, id, 1)))
      await first.kill9()
      for (const id of ids) expect((await leftoversOf(id, places())).length).toBeGreaterThan(0)
      const isRunning = async (): Promise<boolean> => (await Promise.all(ids.map((id) => leftoversOf(id, places())))).flat().some(({ kind, about }) => kind === 'process' || !/Exited|Dead/.test(about))
      await waitFor(async () => !(await isRunning()), { what: 'the watchdogs', timeoutMs: TIMEOUT_MS + SLACK_MS + 30_000, everyMs: 200 })

      await stack.add('worker')
      for (const id of ids) {
        expect(await stack.alice.untilOver(id)).toMatchObject({ status: 'timeout', limit: 'timeout_ms', attempt: 1 })
        expectWholeLog(await stack.alice.events(id))
        await nothingLeftOf(id, places())
      }
    })
  })

  for (const mode of MODES) {
    describeNeeding(NEEDS[mode], `in ${mode} mode`, () => {
      test('queue_ttl_ms: a task that found no slot in time ends, never started, and the end says which limit', async () => {
        await stack.add('worker', { WORKER_CONCURRENCY: '1', WORKER_MODES: mode })
        const busy = await stack.alice.submit(WORK, { mode })
        await untilStep(stack, busy.task_id, 1)
        const waiting = await stack.alice.submit('[[say too late]]', { mode, queue_ttl_ms: 2_000 })
        expect(await stack.alice.untilOver(waiting.task_id)).toMatchObject({ status: 'timeout', limit: 'queue_ttl_ms', attempt: 0 })
        const events = await stack.alice.events(waiting.task_id)
        expectWholeLog(events)
        expect(events.map(({ type }) => type)).toEqual(['task.queued', 'task.timeout'])
        await stack.alice.cancel(busy.task_id)
        await stack.alice.untilOver(busy.task_id)
        await nothingLeftOf(busy.task_id, places())
      })

      test('stall: an agent without a sign of life fails as stalled; a silent command does not', async () => {
        await stack.add('worker', { WORKER_MODES: mode, STALL_MS: '15000', STALL_TOOL_MS: '120000' })
        const [silent, stuck] = await Promise.all([
          stack.alice.submit('[[bash sleep 25; echo step-1 >> steps.txt]] [[say I was only silent.]]', { mode, max_attempts: 1 }),
          stack.alice.submit(WORK, { mode, max_attempts: 1 }),
        ])
        const task = await stack.alice.untilOver(stuck.task_id)
        expect(task).toMatchObject({ status: 'failed', error_code: 'stalled' })
        expect(task.error).toMatch(/STALL_MS/)
        expectWholeLog(await stack.alice.events(stuck.task_id))
        await nothingLeftOf(stuck.task_id, places())
        expect(await stack.alice.untilCompleted(silent.task_id)).toMatchObject({ output: 'I was only silent.' })
      })
    })
  }
})
