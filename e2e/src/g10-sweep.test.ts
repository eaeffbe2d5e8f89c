import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { MODES } from '@longshore/contracts'
import { describeNeeding, waitFor } from '@longshore/testkit'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import {
  askEngine, engineIfHere, leftoversOf, NEEDS, nothingLeftOf, type OpencodeServer, showLogsOfFailures, type Stack, startOpencodeServer, startStack, steps, untilStep,
} from './harness/index.ts'

const WORK = '[[bash echo step-1 >> steps.txt]] [[hang]]'
const SWEPT_MS = 90_000
const SWEEP = { SWEEP_EVERY_MS: '1000' }

describe('G10: only what is ours and needed by no task goes', { timeout: 300_000 }, () => {
  let stack: Stack
  beforeAll(async () => {
    stack = await startStack({ workers: 0, engine: await engineIfHere() })
  })
  afterEach(() => Promise.all(stack.apps('worker').map((one) => one.stop())))
  afterAll(() => stack.stop())
  showLogsOfFailures(() => stack)
  const places = (): { engineSocket: string | undefined } => ({ engineSocket: stack.engine?.socket })

  describeNeeding([...NEEDS.docker], 'containers and processes', () => {
    let others: string[]
    let stranger: ChildProcess
    beforeAll(async () => {
      others = await Promise.all([
        containerOfOthers('somebody', {}),
        containerOfOthers('neighbour', { 'longshore.deployment': `${stack.deployment}-2`, 'longshore.storage': 'other', 'longshore.task': `task-${'x'.repeat(26)}`, 'longshore.claim': '1' }),
      ])
      stranger = spawn('sleep', ['600'], { env: { PATH: process.env['PATH'], LONGSHORE_EXECUTION: `${stack.deployment}-2/other/task-${'x'.repeat(26)}/1/0` }, stdio: 'ignore' })
    })
    afterAll(async () => {
      stranger.kill('SIGKILL')
      for (const id of others) await askEngine(stack.engine?.socket ?? '', `/containers/${id}?force=1`, 'DELETE')
    })

    /** An engine tells whole seconds: what it makes in the second in which the ledger began counts as older. */
    const untilNextSecond = (): Promise<unknown> => {
      const next = Date.now() + 1_000
      return waitFor(() => Date.now() >= next, { what: 'the next second' })
    }
    const Created = z.looseObject({ Id: z.string() })
    const containerOfOthers = async (name: string, Labels: Record<string, string>): Promise<string> => {
      const socket = stack.engine?.socket ?? ''
      const { Id } = Created.parse(await askEngine(socket, `/containers/create?name=${name}-${stack.deployment.slice(4)}`, 'POST', { Image: stack.engine?.image, Entrypoint: ['sleep'], Cmd: ['600'], Labels }))
      await askEngine(socket, `/containers/${Id}/start`, 'POST')
      return Id
    }
    const State = z.looseObject({ State: z.looseObject({ Running: z.boolean() }) })

    test('orphans of a ledger that forgot them are named by a dry run, and removed by a sweep; what is others\' and what runs stays', async () => {
      const first = await stack.add('worker', { SWEEP: 'off' })
      await untilNextSecond()
      const ids = await Promise.all(MODES.map(async (mode) => (await stack.alice.submit(WORK, { mode })).task_id))
      await Promise.all(ids.map((id) => untilStep(stack, id, 1)))
      await first.kill9()
      for (const id of ids) await stack.forget(id)

      const careful = await stack.add('worker', { ...SWEEP, SWEEP: 'dry-run' })
      await waitFor(() => ids.every((id) => careful.output().split('\n').some((line) => line.includes('would sweep') && line.includes(id))), { what: 'a dry run that names them', timeoutMs: SWEPT_MS })
      for (const id of ids) expect((await leftoversOf(id, places())).length).toBeGreaterThan(0)
      expect(await careful.stop()).toBe(0)

      const keeper = await stack.add('worker', SWEEP)
      const running = await Promise.all(MODES.map(async (mode) => (await stack.alice.submit(steps(6), { mode })).task_id))
      for (const id of ids) await nothingLeftOf(id, places(), SWEPT_MS)
      await waitFor(() => keeper.output().split('\n').some((line) => line.includes('"swept"') && line.includes('"removed":1')), { what: 'a count in the log' })
      for (const id of running) expect(await stack.alice.untilCompleted(id)).toMatchObject({ attempt: 1 })
      for (const id of others) expect(State.parse(await askEngine(stack.engine?.socket ?? '', `/containers/${id}/json`)).State.Running).toBe(true)
      expect(stranger.exitCode ?? stranger.signalCode).toBeNull()
    })
  })

  describeNeeding(NEEDS.opencode, 'sessions on a shared server', () => {
    let server: OpencodeServer
    let ofPerson: string
    beforeAll(async () => {
      server = await startOpencodeServer(stack.provider, stack.providerToken)
      ofPerson = await mkdtemp(join(tmpdir(), 'longshore-person-'))
    })
    afterAll(async () => {
      await server.stop()
      await rm(ofPerson, { recursive: true, force: true })
    })

    test('L-18: sessions in workspaces of forgotten tasks go, a person\'s session stays', async () => {
      const remote = { WORKER_MODES: 'opencode', OPENCODE_SERVER_URL: server.url, OPENCODE_SERVER_PASSWORD: server.password }
      const first = await stack.add('worker', { ...remote, SWEEP: 'off' })
      const { task_id } = await stack.alice.submit(WORK, { mode: 'opencode' })
      await untilStep(stack, task_id, 1)
      await server.open(ofPerson, 'my own work')
      await first.kill9()
      await stack.forget(task_id)
      const repo = join(stack.workspaces, task_id, 'repo')
      expect(await server.sessions(repo)).toHaveLength(1)
      await stack.add('worker', { ...remote, ...SWEEP })
      await waitFor(async () => (await server.sessions(repo)).length === 0, { what: 'the session to be swept', timeoutMs: SWEPT_MS })
      expect(await server.sessions(ofPerson)).toEqual(['my own work'])
    })
  })
})
