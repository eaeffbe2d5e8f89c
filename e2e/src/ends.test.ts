import { MODES } from '@longshore/contracts'
import { describeNeeding, waitFor } from '@longshore/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { engineIfHere, expectWholeLog, leftoversOf, NEEDS, nothingLeftOf, refusal, showLogsOfFailures, type Stack, startStack } from './harness/index.ts'

/** Loaded machines are slow; what is promised is 2 s, and the figure is printed. */
const GENEROUS_MS = 5_000

const HANGS = '[[say Here I am.]] [[bash setsid sleep 300 >/dev/null 2>&1 & echo started]] [[hang]]'

describe('every end leaves nothing', { timeout: 240_000 }, () => {
  let stack: Stack
  beforeAll(async () => {
    stack = await startStack({ gateways: 2, workers: 2, engine: await engineIfHere() })
  })
  afterAll(() => stack.stop())
  showLogsOfFailures(() => stack)

  const places = (): { engineSocket: string | undefined } => ({ engineSocket: stack.engine?.socket })

  for (const mode of MODES) {
    describeNeeding(NEEDS[mode], `in ${mode} mode`, () => {
      test('G3, G9: a running task is cancelled at once, once, and its agent with all children is gone', async () => {
        const { task_id: id } = await stack.alice.submit(HANGS, { mode })
        await hasSaid(id, 'task.tool')
        expect((await leftoversOf(id, places())).length).toBeGreaterThan(0)
        const began = performance.now()
        expect(await stack.alice.cancel(id, 'changed my mind')).toMatchObject({ outcome: 'requested' })
        expect(await stack.alice.untilOver(id)).toMatchObject({ status: 'cancelled' })
        const took = performance.now() - began
        console.log(`cancel of a running ${mode} task: ${Math.round(took)} ms`)
        expect(took).toBeLessThan(GENEROUS_MS)
        await nothingLeftOf(id, places())
        expectWholeLog(await stack.alice.events(id))
        expect(await stack.alice.cancel(id)).toMatchObject({ outcome: 'already_over', status: 'cancelled' })
      })

      test('G3: a task cancelled the moment it was submitted ends once and leaves nothing, wherever the cancel found it', async () => {
        const ids = await Promise.all(Array.from({ length: 4 }, async (_, index) => {
          const { task_id } = await stack.alice.submit('[[hang]]', { mode, timeout_ms: 60_000 })
          // Spread over queue, start and prompt.
          await new Promise((resolve) => setTimeout(resolve, index * 400))
          await stack.alice.cancel(task_id)
          return task_id
        }))
        for (const id of ids) {
          expect(await stack.alice.untilOver(id)).toMatchObject({ status: 'cancelled' })
          await nothingLeftOf(id, places())
          expectWholeLog(await stack.alice.events(id))
        }
      })

      test('G3: cancel racing with completion gives one answer that everybody sees', async () => {
        const { task_id } = await stack.alice.submit('[[say quick]]', { mode })
        await hasSaid(task_id, 'task.output')
        const answers = await Promise.allSettled([stack.alice.cancel(task_id), stack.operator.cancel(task_id)])
        const task = await stack.alice.untilOver(task_id)
        expect(['completed', 'cancelled']).toContain(task.status)
        expect(answers.every(({ status }) => status === 'fulfilled') || task.status === 'completed').toBe(true)
        expectWholeLog(await stack.alice.events(task_id))
        await nothingLeftOf(task_id, places())
      })

      test('G9, L-14, L-33: a task whose model never answers ends in timeout at its limit, and nothing of it is left', async () => {
        const { task_id: id } = await stack.alice.submit(HANGS, { mode, timeout_ms: 3_000 })
        const task = await stack.alice.untilOver(id)
        expect(task).toMatchObject({ status: 'timeout', limit: 'timeout_ms', attempt: 1 })
        expect(task.duration_ms).toBeGreaterThanOrEqual(3_000)
        expect(task.duration_ms).toBeLessThan(3_000 + GENEROUS_MS)
        await nothingLeftOf(id, places())
        expectWholeLog(await stack.alice.events(id))
        expect(await refusal(stack.alice.cancel(id))).toMatchObject({ status: 409, code: 'task_over' })
      })
    })
  }

  const hasSaid = async (id: string, type: string): Promise<void> => {
    await waitFor(async () => (await stack.alice.events(id)).some((event) => event.type === type), { what: `${type} of ${id}`, timeoutMs: 60_000, everyMs: 50 })
  }
})

describe('with no worker there', () => {
  let stack: Stack
  beforeAll(async () => {
    stack = await startStack({ gateways: 2, workers: 0 })
  })
  afterAll(() => stack.stop())
  showLogsOfFailures(() => stack)

  test.each(MODES)('G3: a queued %s task is cancelled at once, by any gateway, and stays so', async (mode) => {
    const { task_id } = await stack.alice.submit('not now', { mode })
    const began = performance.now()
    const answers = await Promise.all([stack.alice.cancel(task_id, 'no'), stack.alice.cancel(task_id, 'no')])
    expect(performance.now() - began).toBeLessThan(GENEROUS_MS)
    expect(answers.map(({ outcome }) => outcome).toSorted()).toEqual(['already_over', 'ended'])
    expect(await stack.alice.status(task_id)).toMatchObject({ status: 'cancelled', attempt: 0 })
    expectWholeLog(await stack.alice.events(task_id))
  })
})
