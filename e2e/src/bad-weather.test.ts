import { tmpdir } from 'node:os'
import { join } from 'node:path'

import type { Mode } from '@longshore/contracts'
import { describeNeeding, waitFor } from '@longshore/testkit'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import {
  createEngineSwitch, engineIfHere, expectWholeLog, killServersOf, leftoversOf, nothingLeftOf, type OpencodeServer, showLogsOfFailures, type Stack, startOpencodeServer, startStack,
} from './harness/index.ts'

const Health = z.looseObject({ modes: z.array(z.looseObject({ mode: z.string(), available: z.boolean(), reason: z.string().optional(), isolation: z.string() })) })
/** A mode is probed every 10 s. */
const PROBED_MS = 90_000

describe('a part that is away is named, harms nothing, and is used again when it is back', { timeout: 240_000 }, () => {
  let stack: Stack
  beforeAll(async () => {
    stack = await startStack({ workers: 0, engine: await engineIfHere() })
  })
  // Each test brings workers of its own settings.
  afterEach(() => Promise.all(stack.apps('worker').map((one) => one.stop())))
  afterAll(() => stack.stop())
  showLogsOfFailures(() => stack)

  const places = (): { engineSocket: string | undefined } => ({ engineSocket: stack.engine?.socket })
  const modeNow = async (mode: Mode) => Health.parse(await (await stack.alice.fetch('/api/health')).json()).modes.find((one) => one.mode === mode)
  /** Why a mode is off, once it was probed and is. */
  const reasonOff = (mode: Mode): Promise<string> => waitFor(async () => {
    const now = await modeNow(mode)
    return now?.available === false && now.reason !== 'not probed yet' ? now.reason : undefined
  }, { what: `${mode} mode to be off`, timeoutMs: PROBED_MS, everyMs: 250 })
  const untilAtWork = (id: string): Promise<unknown> =>
    waitFor(async () => (await stack.alice.events(id)).some(({ type }) => type === 'task.tool'), { what: `${id} to be at work`, timeoutMs: 60_000, everyMs: 100 })
  const expectStillQueued = async (id: string): Promise<void> => {
    expect(await stack.alice.status(id)).toMatchObject({ status: 'queued', attempt: 0 })
    await nothingLeftOf(id, places())
  }

  describeNeeding(['docker', 'opencode'], 'in docker mode', () => {
    test('the engine is down: the reason is in health, tasks wait, and they run when it is back', async () => {
      const engine = createEngineSwitch(stack.engine?.socket ?? '', join(tmpdir(), `${stack.deployment}.sock`))
      await stack.add('worker', { WORKER_MODES: 'docker', DOCKER_HOST: engine.host }, 'health')
      expect(await reasonOff('docker')).toMatch(/engine/i)
      const { task_id } = await stack.alice.submit('[[say The engine is back.]]', { mode: 'docker' })
      await expectStillQueued(task_id)

      await engine.on()
      try {
        expect(await stack.alice.untilCompleted(task_id)).toMatchObject({ attempt: 1 })
        await nothingLeftOf(task_id, places())
      } finally {
        await Promise.all(stack.apps('worker').map((one) => one.stop()))
        await engine.off()
      }
    })

    test('G9: the engine goes away under a running task: its cancel holds, and the container goes when the engine is back', async () => {
      const engine = createEngineSwitch(stack.engine?.socket ?? '', join(tmpdir(), `${stack.deployment}.sock`))
      await engine.on()
      try {
        await stack.add('worker', { WORKER_MODES: 'docker', DOCKER_HOST: engine.host })
        const { task_id } = await stack.alice.submit('[[bash echo begun]] [[hang]]', { mode: 'docker' })
        await untilAtWork(task_id)
        await engine.off()
        await stack.alice.cancel(task_id)
        expect(await stack.alice.untilOver(task_id)).toMatchObject({ status: 'cancelled' })
        expect((await leftoversOf(task_id, places())).map(({ kind }) => kind)).toContain('container')

        await engine.on()
        await nothingLeftOf(task_id, places(), PROBED_MS)
        expectWholeLog(await stack.alice.events(task_id))
      } finally {
        await Promise.all(stack.apps('worker').map((one) => one.stop()))
        await engine.off()
      }
    })

    test('the runner image is missing: it is named, and tasks wait', async () => {
      await stack.add('worker', { WORKER_MODES: 'docker', RUNNER_IMAGE: 'longshore/not-there:7' }, 'health')
      expect(await reasonOff('docker')).toMatch(/longshore\/not-there:7/)
      const { task_id } = await stack.alice.submit('[[say hello]]', { mode: 'docker' })
      await expectStillQueued(task_id)
      await stack.alice.cancel(task_id)
    })
  })

  describeNeeding('opencode', 'in OpenCode mode with a remote server', () => {
    let server: OpencodeServer
    beforeAll(async () => {
      server = await startOpencodeServer(stack.provider, stack.providerToken)
    })
    afterAll(() => server.stop())

    test('L-15: the right password: a task runs there, its session is removed, and no stream of it stays open', async () => {
      await stack.add('worker', { WORKER_MODES: 'opencode', OPENCODE_SERVER_URL: server.url, OPENCODE_SERVER_PASSWORD: server.password })
      const { task_id } = await stack.alice.submit('[[write far.txt|away]] [[say From afar.]]', { mode: 'opencode' })
      expect(await stack.alice.untilCompleted(task_id)).toMatchObject({ files_changed: 1 })
      expect(await modeNow('opencode')).toMatchObject({ available: true, isolation: 'shared' })
      await waitFor(async () => (await server.sessions(join(stack.workspaces, task_id, 'repo'))).length === 0, { what: 'the session to be removed' })
      // A worker that looks after the server connects for a moment now and then.
      await waitFor(async () => (await server.connections()) === 0, { what: 'no connection to stay', everyMs: 100 })
    })

    test('a wrong password: it is said, and the password is not', async () => {
      await stack.add('worker', { WORKER_MODES: 'opencode', OPENCODE_SERVER_URL: server.url, OPENCODE_SERVER_PASSWORD: 'wrong-and-secret' }, 'health')
      expect(await reasonOff('opencode')).toMatch(/password/)
      const { task_id } = await stack.alice.submit('[[say hello]]', { mode: 'opencode' })
      await expectStillQueued(task_id)
      await stack.alice.cancel(task_id)
      expect(stack.logs()).not.toContain('wrong-and-secret')
    })

    test('the server dies under a running task: it does not hold up a cancel', async () => {
      const mortal = await startOpencodeServer(stack.provider, stack.providerToken)
      try {
        await stack.add('worker', { WORKER_MODES: 'opencode', OPENCODE_SERVER_URL: mortal.url, OPENCODE_SERVER_PASSWORD: mortal.password })
        const { task_id } = await stack.alice.submit('[[bash echo begun]] [[hang]]', { mode: 'opencode' })
        await untilAtWork(task_id)
        await mortal.stop()
        await stack.alice.cancel(task_id)
        expect(await stack.alice.untilOver(task_id)).toMatchObject({ status: 'cancelled' })
        expectWholeLog(await stack.alice.events(task_id))
      } finally {
        await mortal.stop()
      }
    })

    test('the server is down: it is named, and tasks wait', async () => {
      await stack.add('worker', { WORKER_MODES: 'opencode', OPENCODE_SERVER_URL: 'http://127.0.0.1:9' }, 'health')
      expect(await reasonOff('opencode')).toMatch(/127\.0\.0\.1:9/)
      const { task_id } = await stack.alice.submit('[[say hello]]', { mode: 'opencode' })
      await expectStillQueued(task_id)
      await stack.alice.cancel(task_id)
    })
  })

  describeNeeding('opencode', 'when the agent itself is killed', () => {
    test('its session goes on in the same attempt, and nothing of the first server is left, children that left its group included', async () => {
      await stack.add('worker', { WORKER_MODES: 'opencode' })
      const { task_id } = await stack.alice.submit('[[bash setsid sleep 400 >/dev/null 2>&1 & echo begun]] [[bash sleep 60]] [[say Here again.]]', { mode: 'opencode' })
      await untilAtWork(task_id)
      const first = await leftoversOf(task_id, places())
      await killServersOf(task_id)
      expect(await stack.alice.untilCompleted(task_id)).toMatchObject({ attempt: 1, output: expect.stringContaining('Here again.') as string })
      const events = await stack.alice.events(task_id)
      expectWholeLog(events)
      expect(events.find(({ type }) => type === 'task.resumed')?.data).toMatchObject({ attempt: 1, detail: expect.stringContaining('its execution was lost') as string })
      await nothingLeftOf(task_id, places())
      expect(first.length).toBeGreaterThan(1)
    })
  })

  describeNeeding('opencode', 'when the model provider fails', () => {
    test('what it rejects is not tried again', async () => {
      await stack.add('worker', { WORKER_MODES: 'opencode' })
      const { task_id } = await stack.alice.submit('[[status 400]]', { mode: 'opencode' })
      expect(await stack.alice.untilOver(task_id)).toMatchObject({ status: 'failed', error_code: 'provider_rejected', attempt: 1 })
      expectWholeLog(await stack.alice.events(task_id))
      await nothingLeftOf(task_id, places())
    })

    test('what may pass is tried again in the mode that was stamped on the task, then fails with its reason', async () => {
      await stack.add('worker', { WORKER_MODES: 'opencode' })
      const setShare = (opencode_percent: number): Promise<unknown> => stack.operator.fetch('/api/rollout', { method: 'PUT', body: { opencode_percent } })
      await setShare(100)
      const { task_id } = await stack.alice.submit('[[status 503]]'.repeat(60), { max_attempts: 2, timeout_ms: 120_000 })
      await setShare(0)
      expect(await stack.alice.untilOver(task_id)).toMatchObject({ status: 'failed', error_code: 'provider_error', attempt: 2, mode: 'opencode' })
      const events = await stack.alice.events(task_id)
      expectWholeLog(events)
      expect(events.filter(({ type }) => type === 'task.started').map(({ data }) => data['mode'])).toEqual(['opencode', 'opencode'])
      expect(events.filter(({ type }) => type === 'task.retrying').map(({ data }) => data)).toMatchObject([{ failure: { code: 'provider_error' } }])
      await nothingLeftOf(task_id, places())
    })

    test('an agent that recovers by itself completes in one attempt', async () => {
      await stack.add('worker', { WORKER_MODES: 'opencode' })
      const { task_id } = await stack.alice.submit('[[status 503]] [[say Better now.]]', { mode: 'opencode' })
      expect(await stack.alice.untilCompleted(task_id)).toMatchObject({ attempt: 1 })
    })
  })
})
