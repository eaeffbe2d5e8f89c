import { setTimeout as sleep } from 'node:timers/promises'

import { type Mode, MODES } from '@longshore/contracts'
import { type BlackHole, describeNeeding, startBlackHole, waitFor } from '@longshore/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type AppProcess, createChance, engineIfHere, expectStepsOnce, expectWholeLog, gatedSteps, measured, NEEDS, nothingLeftOf, openGate, showLogsOfFailures, type Stack, startStack, untilStep,
} from './harness/index.ts'

const LOCK_MS = 5_000
const CUT_OFF_MS = 20_000
/** Half a second each, and what the model takes; begun when the first owner comes back. */
const STEPS = 8

describe('G4: who lost its tasks writes nothing more and stops nobody', { timeout: 240_000 }, () => {
  let stack: Stack
  let modes: readonly Mode[]
  const chance = createChance()
  beforeAll(async () => {
    const engine = await engineIfHere()
    modes = engine === undefined ? ['opencode'] : MODES
    stack = await startStack({ workers: 0, engine })
  })
  afterAll(() => stack.stop())
  showLogsOfFailures(() => stack)

  /** One task per mode, all at work under the only worker there is. */
  const submitTo = async (owner: AppProcess): Promise<string[]> => {
    const ids = await Promise.all(modes.map(async (mode) => (await stack.alice.submit(gatedSteps(STEPS), { mode, timeout_ms: 200_000 })).task_id))
    await Promise.all(ids.map((id) => untilStep(stack, id, 2)))
    for (const id of ids) expect(await stack.alice.status(id)).toMatchObject({ worker: owner.name })
    return ids
  }
  /** The successor's agents are at work while the first owner comes back. */
  const letGoOn = (ids: readonly string[]): Promise<unknown> => Promise.all(ids.map((id) => openGate(stack, id)))
  const untilOwnedBy = (ids: readonly string[], worker: AppProcess): Promise<unknown> =>
    waitFor(async () => (await Promise.all(ids.map((id) => stack.ledger.get(id)))).every((task) => task?.worker === worker.name), { what: `${worker.name} to own them` })
  const expectUndisturbed = async (ids: readonly string[], successor: AppProcess): Promise<void> => {
    for (const id of ids) {
      expect(await stack.alice.untilCompleted(id), `seed ${chance.seed}`).toMatchObject({ attempt: 1, worker: successor.name })
      const events = await stack.alice.events(id)
      expectWholeLog(events)
      await expectStepsOnce(stack, id, STEPS, events)
      expect(events.filter(({ type }) => type === 'task.tool')).toHaveLength(STEPS + 1) // and the gate
      expect(events.filter(({ type }) => ['task.adopted', 'task.resumed', 'task.retrying'].includes(type)).map(({ type, data }) => [type, data['worker']])).toEqual([['task.adopted', successor.name]])
      await nothingLeftOf(id, { engineSocket: stack.engine?.socket })
    }
  }
  /** It noticed and moved on: with nobody else there, it runs a new task of each mode. */
  const expectAtWorkAgain = async (first: AppProcess, successor: AppProcess): Promise<void> => {
    expect(await successor.stop()).toBe(0)
    for (const mode of modes) {
      const { task_id } = await stack.alice.submit('[[say back at work]]', { mode })
      expect(await stack.alice.untilCompleted(task_id)).toMatchObject({ worker: first.name, attempt: 1 })
    }
  }

  describeNeeding(NEEDS.opencode, 'a worker that is suspended', () => {
    test('SIGSTOP for longer than the lock, SIGCONT: its successor goes on undisturbed, and it works again', async () => {
      const first = await stack.add('worker')
      const ids = await submitTo(first)
      const successor = await stack.add('worker')
      first.signal('SIGSTOP')
      const suspended = performance.now()
      await untilOwnedBy(ids, successor)
      measured('owned by another after SIGSTOP (ms)', Math.round(performance.now() - suspended))
      await sleep(Math.max(0, LOCK_MS + chance.between(500, 3_000) - (performance.now() - suspended)))
      await letGoOn(ids)
      first.signal('SIGCONT')
      await expectUndisturbed(ids, successor)
      await expectAtWorkAgain(first, successor)
      expect(await first.stop()).toBe(0)
    })
  })

  describeNeeding(NEEDS.opencode, 'a worker whose packets to and from Redis vanish', () => {
    let hole: BlackHole
    beforeAll(async () => {
      hole = await startBlackHole(stack.redis.port)
    })
    afterAll(() => hole.stop())

    test('for 20 s: its successor goes on undisturbed, what it sent comes late and changes nothing, and it works again', async () => {
      const first = await stack.add('worker', { REDIS_URL: `redis://127.0.0.1:${hole.port}` })
      const ids = await submitTo(first)
      const successor = await stack.add('worker')
      await sleep(chance.between(0, 500))
      hole.open()
      const cutOff = performance.now()
      await untilOwnedBy(ids, successor)
      measured('owned by another after the packets vanished (ms)', Math.round(performance.now() - cutOff))
      await sleep(CUT_OFF_MS - (performance.now() - cutOff))
      await letGoOn(ids)
      hole.close()
      await expectUndisturbed(ids, successor)
      await expectAtWorkAgain(first, successor)
      expect(await first.stop()).toBe(0)
    })
  })
})
