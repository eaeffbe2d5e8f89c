import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { describeNeeding, waitFor } from '@longshore/testkit'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createEngineSwitch, engineIfHere, expectWholeLog, nothingLeftOf, showLogsOfFailures, type Stack, startStack } from './harness/index.ts'

/** Many trials of a breaker that stays open for half a second, doubling. */
const AWAY_MS = 8_000
const TASKS = 4

describeNeeding(['docker', 'opencode'], 'a circuit breaker per backend', () => {
  let stack: Stack
  beforeAll(async () => {
    stack = await startStack({ workers: 0, engine: await engineIfHere(), env: { WORKER_MODES: 'docker', BREAKER_FAILURES: '1', BREAKER_OPEN_MS: '500' } })
  })
  afterAll(() => stack.stop())
  showLogsOfFailures(() => stack)

  test('while the engine is away tasks wait and burn no attempt; when it is back they run', { timeout: 240_000 }, async () => {
    const engine = createEngineSwitch(stack.engine?.socket ?? '', join(tmpdir(), `${stack.deployment}.sock`))
    await engine.on()
    try {
      const worker = await stack.add('worker', { DOCKER_HOST: engine.host })
      const warm = await stack.alice.submit('[[say warm]]', { mode: 'docker' })
      await stack.alice.untilCompleted(warm.task_id)
      await engine.off()
      const ids = await Promise.all(Array.from({ length: TASKS }, async () => (await stack.alice.submit('[[say The engine is back.]]', { mode: 'docker' })).task_id))
      await waitFor(() => worker.output().includes('breaker'), { what: 'the breaker to be named in the log' })
      // The failure that opened it may count; from then on none does.
      const attempts = async (): Promise<number[]> => Promise.all(ids.map(async (id) => (await stack.alice.status(id)).attempt))
      await sleep(AWAY_MS)
      expect(Math.max(...await attempts())).toBeLessThanOrEqual(1)
      for (const id of ids) expect((await stack.alice.status(id)).status).toMatch(/queued|running/)

      await engine.on()
      for (const id of ids) {
        expect((await stack.alice.untilCompleted(id)).attempt).toBeLessThanOrEqual(2)
        expectWholeLog(await stack.alice.events(id))
        await nothingLeftOf(id, { engineSocket: stack.engine?.socket })
      }
      expect(await worker.stop()).toBe(0)
    } finally {
      await engine.off()
    }
  })
})
