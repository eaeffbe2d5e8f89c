import { describeNeeding, waitFor } from '@longshore/testkit'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import {
  type AppProcess, CLIENTS, copyAsLaterVersion, createLaterVersion, expectStepsOnce, expectWholeLog, gatedSteps, type LaterVersion, measured, NEEDS, nothingLeftOf, openGate, type OtherTree,
  showLogsOfFailures, type Stack, startStack, unpackPreviousCommit, untilStep,
} from './harness/index.ts'

/** G7, with default settings. */
const PROMISED_MS = 10_000
const STEPS = 4

describeNeeding([...NEEDS.opencode, 'history'], 'versions: the previous commit beside this one', () => {
  describe('in opencode mode', { timeout: 240_000 }, () => {
    let stack: Stack
    let previous: OtherTree
    let later: OtherTree
    let laterVersion: LaterVersion
    beforeAll(async () => {
      stack = await startStack({ gateways: 0, workers: 0 })
      ;[previous, later, laterVersion] = await Promise.all([unpackPreviousCommit(), copyAsLaterVersion(), createLaterVersion(stack)])
    })
    // Each test says anew who is there.
    afterEach(() => stack.endApps('SIGTERM'))
    afterAll(async () => {
      await Promise.all([laterVersion.close(), previous.remove(), later.remove()])
      await stack.stop()
    })
    showLogsOfFailures(() => stack)

    type App = 'gateway' | 'worker' | 'notifier'
    /** Of one slot each, so that a second task is for the second worker. */
    const start = (app: App, tree?: OtherTree, slots = 1): Promise<AppProcess> => stack.add(app, { WORKER_CONCURRENCY: String(slots) }, 'ready', tree)
    const submit = async (work: string): Promise<string> => (await stack.alice.submit(work, { mode: 'opencode', timeout_ms: 120_000 })).task_id
    const ownerOf = async (id: string): Promise<string | undefined> => (await stack.ledger.get(id))?.worker
    const untilOwnedBy = (id: string, { name }: AppProcess): Promise<unknown> => waitFor(async () => (await ownerOf(id)) === name, { what: `${id} at ${name}`, everyMs: 20 })
    const takings = async (id: string): Promise<string[]> =>
      (await stack.alice.events(id)).filter(({ type }) => ['task.started', 'task.adopted', 'task.resumed', 'task.retrying'].includes(type)).map(({ type }) => type)
    const expectDone = async (id: string, count: number): Promise<void> => {
      expect(await stack.alice.untilCompleted(id)).toMatchObject({ attempt: 1 })
      const events = await stack.alice.events(id)
      expectWholeLog(events)
      await expectStepsOnce(stack, id, count, events)
      await nothingLeftOf(id, { engineSocket: undefined })
    }

    test('what the previous commit accepted, ran and left when everything was stopped is known to this one, and completed', async () => {
      await Promise.all([start('gateway', previous), start('worker', previous)])
      const asked = ['[[say The end.]]', { mode: 'opencode', idempotency_key: 'over versions' }] as const
      const running = await submit(gatedSteps(STEPS))
      await untilStep(stack, running, 2)
      const waiting = (await stack.alice.submit(...asked)).task_id
      await stack.endApps('SIGTERM')
      expect(await stack.ledger.get(running)).toMatchObject({ state: 'queued', claim: 2, handle: { checkpoint: true } })
      expect(await stack.ledger.get(waiting)).toMatchObject({ state: 'queued', claim: 0 })

      await Promise.all([start('gateway'), start('worker', undefined, 2)])
      expect(await stack.alice.submit(...asked)).toMatchObject({ task_id: waiting, is_new: false })
      await openGate(stack, running)
      await expectDone(running, STEPS)
      await expectDone(waiting, 0)
      expect(await takings(running)).toEqual(['task.started', 'task.resumed'])
    })

    test('G7: side by side both take fresh tasks, and each adopts what the other ran when it was killed: nothing lost, nothing twice', async () => {
      const [, , old, ours] = await Promise.all([start('gateway'), start('gateway', previous), start('worker', previous), start('worker')])
      const ids = await Promise.all([submit(gatedSteps(STEPS)), submit(gatedSteps(STEPS))])
      await Promise.all(ids.map((id) => untilStep(stack, id, 2)))
      const owners = await Promise.all(ids.map(ownerOf))
      expect(new Set(owners)).toEqual(new Set([old.name, ours.name]))
      const [id = '', other = ''] = owners[0] === old.name ? ids : ids.toReversed()
      await openGate(stack, other)
      await expectDone(other, STEPS)
      expect(await takings(other)).toEqual(['task.started'])

      const handOver = async (from: AppProcess, to: AppProcess, name: string): Promise<void> => {
        await from.kill9()
        const died = performance.now()
        await untilOwnedBy(id, to)
        const took = Math.round(performance.now() - died)
        measured(`a task of a dead worker taken over by ${name} (ms)`, took)
        expect(took).toBeLessThan(PROMISED_MS)
        await waitFor(async () => (await takings(id)).at(-1) === 'task.adopted', { what: `${id} to be adopted by ${name}` })
      }
      await handOver(old, ours, 'this commit')
      await handOver(ours, await start('worker', previous), 'the previous one')
      await openGate(stack, id)
      await expectDone(id, STEPS)
      expect(await takings(id)).toEqual(['task.started', 'task.adopted', 'task.adopted'])
      // And the gate.
      expect((await stack.alice.events(id)).filter(({ type }) => type === 'task.tool')).toHaveLength(STEPS + 1)
    })

    test('what takes a later worker goes back, lets what is behind it pass, costs no attempt, can be cancelled, and waits for one that can', async () => {
      const both = await Promise.all([laterVersion.submit('[[say The end.]]'), laterVersion.submit('[[say Never.]]')])
      const [kept, dropped] = both
      const looks = (): Promise<number[]> => Promise.all(both.map(laterVersion.looks))
      const expectToPassBy = async (worker: AppProcess): Promise<void> => {
        const before = await looks()
        expect(await stack.alice.untilCompleted(await submit('[[say The end.]]'))).toMatchObject({ worker: worker.name })
        await waitFor(async () => (await looks()).every((count, index) => count > (before[index] ?? 0)), { what: `${worker.name} to look at both` })
        for (const id of both) expect(await stack.ledger.get(id)).toMatchObject({ state: 'queued', claim: 0, attempt: 0, ticket: 1, seq: 1 })
      }
      const [old] = await Promise.all([start('worker', previous), start('gateway')])
      await expectToPassBy(old)
      const [ours, code] = await Promise.all([start('worker'), old.stop()])
      expect(code).toBe(0)
      await expectToPassBy(ours)
      expect(await stack.alice.cancel(dropped)).toEqual({ status: 'cancelled', outcome: 'ended' })
      // Beside the one that cannot.
      const able = await start('worker', later)
      await expectDone(kept, 0)
      expect(await stack.alice.status(kept)).toMatchObject({ worker: able.name })
      expect((await stack.alice.events(dropped)).map(({ type }) => type)).toEqual(['task.queued', 'task.cancelled'])
    })

    test('G6: events that a reader does not know pass through histories, old and new, and the notifier goes on behind them', async () => {
      const [, , notifier] = await Promise.all([start('gateway'), start('gateway', previous), start('notifier')])
      const id = await submit('[[say The end.]]')
      const unknown = [{ v: 1, type: 'task.imagined', payload: { by: 'a later version' } }, { v: 2, type: 'task.output', payload: { words: ['in another', 'form'] } }]
      await laterVersion.append(id, unknown)
      const seen = ['task.queued', 'task.imagined', 'task.output']
      // Calls go to both gateways in turn.
      for (let call = 0; call < 2; call++) expect((await stack.alice.events(id)).map(({ type }) => type)).toEqual(seen)
      for (const client of CLIENTS) {
        const events = await stack.mcp(client).events(id)
        expect(events.map(({ type, data }) => ({ type, data })).slice(1)).toEqual(unknown.map(({ type, payload }) => ({ type, data: payload })))
      }
      await start('worker')
      await expectDone(id, 0)
      expect((await stack.alice.events(id)).slice(0, 4).map(({ type }) => type)).toEqual([...seen, 'task.started'])
      await waitFor(() => notifier.output().split('\n').some((line) => line.includes(id) && line.includes('"kind":"completion"')), { what: 'the notice of the completion' })
    })
  })
})
