import { setTimeout as sleep } from 'node:timers/promises'

import { MODES } from '@longshore/contracts'
import { describeNeeding, waitFor } from '@longshore/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  createChance, engineIfHere, expectStepsOnce, expectWholeLog, measured, NEEDS, nothingLeftOf, showLogsOfFailures, type Stack, startStack, steps, untilStep,
} from './harness/index.ts'

const STEPS = 14
const STALL_MS = 15_000

describe('G1, G5: Redis with AOF goes away in the middle of tasks', { timeout: 240_000 }, () => {
  let stack: Stack
  const chance = createChance()
  beforeAll(async () => {
    stack = await startStack({ workers: 2, engine: await engineIfHere() })
  })
  afterAll(() => stack.stop())
  showLogsOfFailures(() => stack)

  /** A task per mode, at work. */
  const submit = async (): Promise<string[]> => {
    const modes = stack.engine === undefined ? ['opencode'] as const : MODES
    const ids = await Promise.all(modes.map(async (mode) => (await stack.alice.submit(steps(STEPS), { mode, timeout_ms: 200_000 })).task_id))
    await Promise.all(ids.map((id) => untilStep(stack, id, 2)))
    return ids
  }
  const untilItAnswers = async (): Promise<void> => {
    const back = performance.now()
    await waitFor(async () => (await stack.alice.fetch('/ready')).ok, { what: 'the gateway to be ready again' })
    measured('gateway ready after Redis was back (ms)', Math.round(performance.now() - back))
  }
  const expectAllDone = async (ids: readonly string[]): Promise<void> => {
    for (const id of ids) {
      expect(await stack.alice.untilCompleted(id), `seed ${chance.seed}`).toMatchObject({ attempt: 1 })
      const events = await stack.alice.events(id)
      expectWholeLog(events)
      await expectStepsOnce(stack, id, STEPS, events)
      expect(events.filter(({ type }) => type === 'task.tool')).toHaveLength(STEPS)
      expect(events.filter(({ type }) => type === 'task.started')).toHaveLength(1)
      await nothingLeftOf(id, { engineSocket: stack.engine?.socket })
    }
  }

  describeNeeding(NEEDS.opencode, 'and comes back', () => {
    test('kill -9 and restart: what was accepted is there, and every task goes on in its attempt', async () => {
      const ids = await submit()
      const { task_id } = await stack.alice.submit('[[say I was accepted a moment before.]]', { mode: 'opencode' })
      await stack.redis.kill9()
      await sleep(chance.between(0, 8_000)) // shorter and longer than a lock
      await stack.redis.restart()
      await untilItAnswers()
      expect(await stack.alice.untilCompleted(task_id)).toMatchObject({ output: 'I was accepted a moment before.' })
      await expectAllDone(ids)
    })

    test('stalled for 15 s: nobody keeps what another may have taken, and every task goes on in its attempt', async () => {
      const ids = await submit()
      stack.redis.stall(STALL_MS)
      await sleep(STALL_MS)
      await untilItAnswers()
      await expectAllDone(ids)
      expect(stack.apps('worker')).toHaveLength(2)
    })
  })
})
