import { setTimeout as sleep } from 'node:timers/promises'

import { type Mode, MODES } from '@longshore/contracts'
import { describeNeeding } from '@longshore/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  createChance, engineIfHere, expectStepsOnce, expectWholeLog, killServersOf, measured, NEEDS, nothingLeftOf, showLogsOfFailures, type Stack, startStack, step, stepsDone, untilStep,
} from './harness/index.ts'

const STEPS = 10
/** In step 3, in step 6, and in one of the words that follow: each time the session is what is left. */
const KILLED_AT = [3, 6]
/** Those two would take long enough to be killed in the middle on a busy machine, too. */
const WORK = `${Array.from({ length: STEPS }, (_, index) => step(index + 1, KILLED_AT.includes(index + 1) ? 10 : 0.5)).join(' ')} [[say The end.]]`

describe('G7: the OpenCode server of a running task is killed', { timeout: 240_000 }, () => {
  let stack: Stack
  const chance = createChance()
  beforeAll(async () => {
    stack = await startStack({ workers: 1, engine: await engineIfHere() })
  })
  afterAll(() => stack.stop())
  showLogsOfFailures(() => stack)

  const goesOn = async (mode: Mode): Promise<void> => {
    const { task_id } = await stack.alice.submit(WORK, { mode, timeout_ms: 200_000, max_attempts: 1 })
    for (const number of KILLED_AT) {
      await untilStep(stack, task_id, number)
      // While the step takes its time: it has run, and its call is cut off.
      await sleep(chance.between(20, 250))
      const killedAt = Date.now()
      const before = await stepsDone(stack, task_id)
      expect(await killServersOf(task_id)).toBeGreaterThan(0)
      await untilStep(stack, task_id, before.length + 1)
      measured(`at work again after the ${mode} server was killed (ms)`, Date.now() - killedAt)
    }
    expect(await stack.alice.untilCompleted(task_id), `seed ${chance.seed}`).toMatchObject({ attempt: 1 })
    const events = await stack.alice.events(task_id)
    expectWholeLog(events)
    await expectStepsOnce(stack, task_id, STEPS, events)
    expect(await stepsDone(stack, task_id)).toHaveLength(STEPS)
    expect(events.filter(({ type }) => ['task.started', 'task.resumed', 'task.retrying'].includes(type)).map(({ type }) => type)).toEqual(['task.started', ...KILLED_AT.map(() => 'task.resumed')])
    await nothingLeftOf(task_id, { engineSocket: stack.engine?.socket })
  }

  for (const mode of MODES) {
    describeNeeding(NEEDS[mode], `in ${mode} mode`, () => {
      // eslint-disable-next-line vitest/expect-expect -- `goesOn` expects
      test('SIGKILL, twice: the session goes on in the same attempt, and no command runs again', () => goesOn(mode))
    })
  }
})
