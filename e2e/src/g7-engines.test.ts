import { describeNeeding, type OwnEngine, startOwnEngine, waitFor } from '@longshore/testkit'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import {
  type AppProcess, createChance, engineIfHere, expectStepsOnce, expectWholeLog, gatedSteps, measured, nothingLeftOf, openGate, showLogsOfFailures, type Stack, startStack, steps, untilStep,
} from './harness/index.ts'

const STEPS = 12

describe('G7: tasks and the engines that they live on', { timeout: 300_000 }, () => {
  let stack: Stack
  let own: OwnEngine
  const chance = createChance()
  const setUp = (name: string): void => {
    beforeAll(async () => {
      own = await startOwnEngine(name)
      stack = await startStack({ workers: 0, engine: await engineIfHere(), env: { WORKER_MODES: 'docker' } })
    }, 300_000)
    afterEach(() => Promise.all(stack.apps('worker').map((one) => one.stop())))
    afterAll(async () => {
      await stack.stop()
      await own.leave()
    })
    showLogsOfFailures(() => stack)
  }
  const addOnOwnEngine = (): Promise<AppProcess> => stack.add('worker', { DOCKER_HOST: own.host, RUNNER_IMAGE: own.image, SWEEP_EVERY_MS: '2000' })
  const takings = async (id: string) => (await stack.alice.events(id)).filter(({ type }) => ['task.started', 'task.adopted', 'task.resumed', 'task.retrying'].includes(type))
  const submit = async (work = steps(STEPS), until = chance.between(2, 4)): Promise<string> => {
    const { task_id } = await stack.alice.submit(work, { mode: 'docker', timeout_ms: 280_000 })
    await untilStep(stack, task_id, until)
    return task_id
  }
  const expectDone = async (id: string, attempt = 1): Promise<void> => {
    expect(await stack.alice.until(id, ['completed'], 200_000), `seed ${chance.seed}`).toMatchObject({ attempt })
    const events = await stack.alice.events(id)
    expectWholeLog(events)
    await expectStepsOnce(stack, id, STEPS, events)
  }

  describeNeeding(['docker', 'dockerd', 'opencode'], 'that are started again', () => {
    setUp('restarted')

    test('an engine is restarted mid-task, without live-restore: the task goes on in the same attempt', async () => {
      await addOnOwnEngine()
      const id = await submit()
      await own.stop()
      await own.start()
      const back = Date.now()
      await expectDone(id)
      const events = await takings(id)
      expect(events.map(({ type }) => type)).toEqual(['task.started', 'task.resumed'])
      measured('resumed after the engine was back (ms)', Date.parse(events.at(-1)?.timestamp ?? '') - back)
      await nothingLeftOf(id, { engineSocket: own.socket })
    })
  })

  describeNeeding(['docker', 'dockerd', 'opencode'], 'when there are two', () => {
    setUp('far')

    test('a task goes back to the engine that holds its container while a worker is there', async () => {
      const first = await addOnOwnEngine()
      const id = await submit(gatedSteps(STEPS), 2)
      const elsewhere = await stack.add('worker')
      const died = Date.now()
      await first.kill9()
      const next = await addOnOwnEngine()
      await openGate(stack, id)
      await expectDone(id)
      const events = await takings(id)
      expect(events.map(({ type, data }) => [type, data['worker']])).toEqual([['task.started', first.name], ['task.adopted', next.name]])
      expect(elsewhere.isRunning()).toBe(true)
      measured('adopted on its own engine after SIGKILL (ms)', Date.parse(events.at(-1)?.timestamp ?? '') - died)
      await nothingLeftOf(id, { engineSocket: own.socket })
    })

    test('engine and worker are gone: it goes on or starts over elsewhere, the event says what was lost, and the engine is cleaned up when it is back', async () => {
      const first = await addOnOwnEngine()
      const id = await submit()
      const died = Date.now()
      await first.kill9()
      await own.stop()
      try {
        const elsewhere = await stack.add('worker')
        const taken = await waitFor(async () => (await takings(id)).find(({ type }) => type === 'task.resumed' || type === 'task.retrying'), { what: `${id} to be taken elsewhere`, timeoutMs: 90_000, everyMs: 100 })
        measured('taken elsewhere after engine and worker were gone (ms)', Date.parse(taken.timestamp) - died)
        expect(JSON.stringify(taken.data)).toMatch(/engine/i)
        expect(await stack.alice.until(id, ['completed'], 200_000), `seed ${chance.seed}`).toMatchObject({ worker: elsewhere.name })
        expectWholeLog(await stack.alice.events(id))
        await nothingLeftOf(id, { engineSocket: stack.engine?.socket })
      } finally {
        await own.start()
      }
      await addOnOwnEngine()
      // An engine that was started again on a busy machine takes its time to remove what it had.
      await nothingLeftOf(id, { engineSocket: own.socket }, 120_000)
    })
  })
})
