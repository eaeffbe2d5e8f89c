import { setTimeout as sleep } from 'node:timers/promises'

import { MODES } from '@longshore/contracts'
import { describeNeeding, waitFor } from '@longshore/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type Agent, createChance, engineIfHere, expectWholeLog, measured, NEEDS, nothingLeftOf, showLogsOfFailures, type Stack, startScriptedWorker, startStack, type TaskAnswer,
} from './harness/index.ts'

const [RACES, AT_ONCE] = [200, 20]
/** How long each of the many tasks runs; how far around the border each is cancelled, and how the border is found: won earlier means later next time, and twice as much later if nobody lost in two rounds. */
const [RUN_MS, SPREAD_MS, STEP_MS] = [400, 20, 4]
const REAL_RACES = 5

describe('G3: cancel racing with completion', { timeout: 240_000 }, () => {
  let stack: Stack
  const chance = createChance()
  beforeAll(async () => {
    stack = await startStack({ gateways: 2, workers: 0, engine: await engineIfHere() })
  })
  afterAll(() => stack.stop())
  showLogsOfFailures(() => stack)

  /** Its agent and an operator cancel it, each at a gateway of its own; what both hear must agree with how it ended, for everyone and for ever. */
  const race = async (id: string, afterMs: number): Promise<TaskAnswer> => {
    await sleep(afterMs)
    const asked = (who: Agent) => who.cancel(id, 'a race').catch((error: unknown) => {
      // A task that ended otherwise cannot be cancelled, and the refusal says so.
      if (String(error).includes('task_over')) return { outcome: 'refused', status: undefined }
      throw error
    })
    const answers = await Promise.all([asked(stack.alice), asked(stack.operator)])
    const task = await stack.alice.untilOver(id)
    expect(['completed', 'cancelled'], `seed ${chance.seed}`).toContain(task.status)
    for (const { outcome, status } of answers) {
      if (outcome === 'refused') expect(task.status).toBe('completed')
      if (outcome === 'ended') expect(task.status).toBe('cancelled')
      if (outcome === 'already_over') expect(status).toBe(task.status)
    }
    const seen = await Promise.all([stack.alice.status(id), stack.alice.status(id), stack.operator.status(id)])
    expect(seen.map(({ status }) => status)).toEqual([task.status, task.status, task.status])
    const events = await stack.alice.events(id)
    expectWholeLog(events)
    expect(events.at(-1)?.type).toBe(`task.${task.status}`)
    return task
  }

  test('200 times: one ending that everybody sees', async () => {
    const worker = await startScriptedWorker(stack, AT_ONCE, RUN_MS)
    try {
      const ended: string[] = []
      let [border, step, winner] = [RUN_MS / 2, STEP_MS, '']
      while (ended.length < RACES) {
        const some = await Promise.all(Array.from({ length: AT_ONCE }, async () => {
          const { task_id } = await stack.alice.submit('race', { mode: 'opencode' })
          const { status } = await race(task_id, Math.max(0, border + chance.between(-SPREAD_MS, SPREAD_MS)))
          border += status === 'cancelled' ? step : -step
          return status
        }))
        const [first = '', ...others] = new Set(some)
        step = others.length === 0 && first === winner ? step * 2 : STEP_MS
        winner = others.length === 0 ? first : ''
        ended.push(...some)
      }
      const cancelled = ended.filter((status) => status === 'cancelled').length
      measured('of 200 races won by the cancel', cancelled)
      // Else it was no race.
      expect(cancelled).toBeGreaterThan(RACES / 10)
      expect(cancelled).toBeLessThan(RACES * 9 / 10)
    } finally {
      await worker.stop()
    }
  })

  for (const mode of MODES) {
    describeNeeding(NEEDS[mode], `in ${mode} mode`, () => {
      test('L-13: around the end of a real agent: an abort is never read as success, and nothing is left', async () => {
        const worker = await stack.add('worker', { WORKER_MODES: mode, WORKER_CONCURRENCY: String(REAL_RACES) })
        const ids = await Promise.all(Array.from({ length: REAL_RACES }, async () => (await stack.alice.submit('[[bash echo begun]] [[say nearly]] [[say done]]', { mode })).task_id))
        const ended = await Promise.all(ids.map(async (id) => {
          await waitFor(async () => (await stack.alice.events(id)).some(({ type }) => type === 'task.tool' || type === 'task.output'), { what: `${id} to say something`, timeoutMs: 90_000, everyMs: 20 })
          return race(id, chance.between(0, 1_500))
        }))
        for (const { task_id, status } of ended) {
          await nothingLeftOf(task_id, { engineSocket: stack.engine?.socket })
          // What a cancelled task said at its end is not a result of work that was completed.
          expect((await stack.alice.events(task_id)).filter(({ type }) => type === 'task.completed')).toHaveLength(status === 'completed' ? 1 : 0)
        }
        measured(`of ${REAL_RACES} races in ${mode} mode won by the cancel`, ended.filter(({ status }) => status === 'cancelled').length)
        expect(await worker.stop()).toBe(0)
      })
    })
  }
})
