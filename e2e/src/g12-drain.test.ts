import { type Mode, MODES } from '@longshore/contracts'
import { describeNeeding, waitFor } from '@longshore/testkit'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import {
  type AppProcess, createChance, engineIfHere, expectStepsOnce, expectWholeLog, gatedSteps, leftoversOf, measured, NEEDS, nothingLeftOf, openGate, showLogsOfFailures, type Stack, startStack, untilStep,
} from './harness/index.ts'

const STEPS = 6
const Workers = z.looseObject({ workers: z.array(z.looseObject({ name: z.string(), draining: z.boolean(), running: z.int(), modes: z.array(z.looseObject({ available: z.boolean() })) })) })

describe('G12: ending a worker loses nothing', { timeout: 300_000 }, () => {
  let stack: Stack
  let modes: readonly Mode[]
  const chance = createChance()
  beforeAll(async () => {
    const engine = await engineIfHere()
    modes = engine === undefined ? ['opencode'] : MODES
    stack = await startStack({ workers: 0, engine })
  })
  afterEach(() => Promise.all(stack.apps('worker').map((one) => one.stop())))
  afterAll(() => stack.stop())
  showLogsOfFailures(() => stack)

  const places = (): { engineSocket: string | undefined } => ({ engineSocket: stack.engine?.socket })
  const workerNow = async (name: string) => Workers.parse(await (await stack.operator.fetch('/api/workers')).json()).workers.find((one) => one.name === name)
  /** A worker that others count on: they have heard of it, and of all its modes. */
  const addWorker = async (env: Record<string, string> = {}): Promise<AppProcess> => {
    const added = await stack.add('worker', { WORKER_CONCURRENCY: '6', ...env })
    await waitFor(async () => (await workerNow(added.name))?.modes.every(({ available }) => available), { what: `${added.name} to be known`, timeoutMs: 60_000 })
    return added
  }
  const submit = async (perMode: number): Promise<string[]> => {
    const ids = await Promise.all(modes.flatMap((mode) => Array.from({ length: perMode }, async () => (await stack.alice.submit(gatedSteps(STEPS), { mode, timeout_ms: 250_000 })).task_id)))
    await Promise.all(ids.map((id) => untilStep(stack, id, 2, 120_000)))
    return ids
  }
  const takings = async (id: string): Promise<string[]> =>
    (await stack.alice.events(id)).filter(({ type }) => ['task.started', 'task.adopted', 'task.resumed', 'task.retrying'].includes(type)).map(({ type }) => type)
  const expectDone = async (ids: readonly string[]): Promise<void> => {
    await Promise.all(ids.map((id) => openGate(stack, id)))
    for (const id of ids) {
      expect(await stack.alice.untilCompleted(id), `seed ${chance.seed}`).toMatchObject({ attempt: 1 })
      const events = await stack.alice.events(id)
      expectWholeLog(events)
      await expectStepsOnce(stack, id, STEPS, events)
      await nothingLeftOf(id, places())
    }
  }

  describeNeeding(NEEDS.opencode, 'one by one', () => {
    test('a rolling replacement of all workers under load: every task is adopted by the next, none is cut off, no attempt is burned', async () => {
      const old = await Promise.all([addWorker({ WORKER_CONCURRENCY: '3' }), addWorker({ WORKER_CONCURRENCY: '3' })])
      const ids = await submit(3)
      for (const [index, one] of old.entries()) {
        await addWorker()
        const told = performance.now()
        expect(await one.stop(index === 0 ? 'SIGINT' : 'SIGTERM')).toBe(0)
        measured('a worker with tasks left after (ms)', Math.round(performance.now() - told))
      }
      for (const id of ids) await waitFor(async () => (await takings(id)).includes('task.adopted'), { what: `${id} to be adopted` })
      await expectDone(ids)
      for (const id of ids) {
        expect(new Set(await takings(id))).toEqual(new Set(['task.started', 'task.adopted']))
        expect((await stack.alice.events(id)).filter(({ type, data }) => type === 'task.tool' && data['status'] === 'completed')).toHaveLength(STEPS + 1)
      }
    })
  })

  describeNeeding(NEEDS.opencode, 'all at once', () => {
    test('every worker is told to end under load: tasks are checkpointed, nothing of them runs, and they go on at the next start', async () => {
      await Promise.all([addWorker({ WORKER_CONCURRENCY: '2' }), addWorker({ WORKER_CONCURRENCY: '2' })])
      const ids = await submit(2)
      expect(await Promise.all(stack.apps('worker').map((one) => one.stop()))).toEqual([0, 0])
      for (const id of ids) {
        expect(await leftoversOf(id, places())).toEqual([])
        expect(await stack.alice.status(id)).toMatchObject({ status: 'queued', attempt: 1 })
        expect((await stack.alice.events(id)).at(-1)).toMatchObject({ type: 'task.queued', data: { reason: 'handover' } })
      }
      const started = performance.now()
      await Promise.all([addWorker(), addWorker()])
      await Promise.all(ids.map((id) => waitFor(async () => (await takings(id)).includes('task.resumed'), { what: `${id} to be resumed`, timeoutMs: 60_000 })))
      measured('all tasks of a stopped stack resumed after its start (ms)', Math.round(performance.now() - started))
      await expectDone(ids)
      for (const id of ids) expect(await takings(id)).toEqual(['task.started', 'task.resumed'])
    })
  })

  describeNeeding(NEEDS.opencode, 'by command', () => {
    test('an operator drains one worker: its tasks go on at another, it takes nothing and stays up, until that is undone', async () => {
      const first = await addWorker()
      const ids = await submit(1)
      const second = await addWorker()
      const drain = (undo: boolean): Promise<Response> => stack.operator.fetch(`/api/workers/${first.name}/drain`, { method: 'POST', body: { undo } })
      expect((await drain(false)).status).toBe(200)
      await waitFor(async () => {
        const now = await workerNow(first.name)
        return now?.draining === true && now.running === 0
      }, { what: `${first.name} to be drained`, timeoutMs: 90_000, everyMs: 100 })
      await Promise.all(ids.map((id) => waitFor(async () => (await stack.alice.status(id)).worker === second.name, { what: `${id} at ${second.name}` })))
      expect(first.isRunning()).toBe(true)
      for (let count = 0; count < 3; count++) {
        const { task_id } = await stack.alice.submit('[[say hello]]', { mode: 'opencode' })
        expect(await stack.alice.untilCompleted(task_id)).toMatchObject({ worker: second.name })
      }
      await expectDone(ids)
      for (const id of ids) expect(await takings(id)).toEqual(['task.started', 'task.adopted'])

      expect((await drain(true)).status).toBe(200)
      await waitFor(async () => (await workerNow(first.name))?.draining === false, { what: `${first.name} to take tasks again`, everyMs: 100 })
      expect(await second.stop()).toBe(0)
      const { task_id } = await stack.alice.submit('[[say hello again]]', { mode: 'opencode' })
      expect(await stack.alice.untilCompleted(task_id)).toMatchObject({ worker: first.name })
    })
  })
})
