import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { type Mode, MODES } from '@longshore/contracts'
import { describeNeeding, waitFor } from '@longshore/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { engineIfHere, expectWholeLog, NEEDS, nothingLeftOf, showLogsOfFailures, type Stack, startStack } from './harness/index.ts'

/** What is promised is 10 s with default settings, and the figure is printed. */
const GENEROUS_MS = 20_000
/** Steps that can be counted afterwards: none may be lost and none may come twice. */
const STEPS = 12
const SLOW_WORK = `${Array.from({ length: STEPS }, (_, index) => `[[bash echo step-${index + 1} >> steps.txt; sleep 0.5]]`).join(' ')} [[say The end.]]`

describe('G7: a worker that dies costs seconds, not the work', { timeout: 240_000 }, () => {
  let stack: Stack
  beforeAll(async () => {
    stack = await startStack({ workers: 2, engine: await engineIfHere() })
  })
  afterAll(() => stack.stop())
  showLogsOfFailures(() => stack)

  const untilStep = (id: string): Promise<unknown> =>
    waitFor(async () => (await stack.alice.events(id)).some(({ type }) => type === 'task.tool'), { what: `a step of ${id}`, timeoutMs: 60_000, everyMs: 50 })
  const killOwnerOf = async (id: string): Promise<void> => {
    const { worker } = await stack.alice.status(id)
    const owner = stack.apps('worker').find(({ name }) => name === worker)
    if (worker === undefined || owner === undefined) throw new Error(`nobody is ${worker}`)
    await owner.kill9()
  }

  for (const mode of MODES) {
    describeNeeding(NEEDS[mode], `in ${mode} mode`, () => {
      test('after SIGKILL another worker adopts the running agent: nothing lost, nothing twice, one ending', async () => {
        // It takes longer to start on a busy machine than the task lasts.
        await stack.add('worker')
        const { task_id } = await submitIn(mode)
        await untilStep(task_id)
        await killOwnerOf(task_id)
        const died = Date.now()
        await stack.alice.untilCompleted(task_id)
        const events = await stack.alice.events(task_id)
        expectWholeLog(events)
        const adopted = events.find(({ type }) => type === 'task.adopted')
        const took = Date.parse(adopted?.timestamp ?? '') - died
        console.log(`a dead worker's ${mode} task was adopted after ${took} ms`)
        expect(took).toBeLessThan(GENEROUS_MS)
        expect(events.filter(({ type }) => type === 'task.started')).toHaveLength(1)
        expect(events.filter(({ type }) => type === 'task.tool')).toHaveLength(STEPS)
        expect((await readFile(join(stack.workspaces, task_id, 'repo/steps.txt'), 'utf8')).trim().split('\n')).toEqual(Array.from({ length: STEPS }, (_, index) => `step-${index + 1}`))
        await nothingLeftOf(task_id, { engineSocket: stack.engine?.socket })
      })
    })
  }

  const submitIn = (mode: Mode): Promise<{ task_id: string }> => stack.alice.submit(SLOW_WORK, { mode, timeout_ms: 120_000 })
})
