import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Backend, type ExecutionOutcome, type RunContext, SILENT } from '@longshore/contracts'
import { describeNeeding, type ScriptedProvider, waitFor } from '@longshore/testkit'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import type { Patience } from './drivers/opencode/patience.ts'
import type { ModelAccess } from './drivers/opencode/server-settings.ts'
import { type SessionApi, sessionApi } from './drivers/opencode/session-api.ts'
import { type OpencodeServer, startOpencodeServer } from './fixtures/opencode-server.ts'
import { record, type Recorded, textOf } from './fixtures/record.ts'
import { type Relay, startRelay } from './fixtures/relay.ts'
import { scriptedModel } from './fixtures/scripted-model.ts'
import { createOpencodeMode } from './opencode-mode.ts'
import { openStorage, type Storage, workspaceOf } from './workspace/storage.ts'

const LOST = 'another worker owns it'

/** A worker that loses its claim after it has asked for it so often. */
function owning({ run }: Recorded, times: number): { run: RunContext; asked(): number } {
  let asked = 0
  const confirmClaim = (): Promise<void> => (++asked > times ? Promise.reject(new Error(LOST)) : Promise.resolve())
  return { run: { ...run, confirmClaim }, asked: () => asked }
}

describeNeeding('opencode', 'OpenCode in trouble', () => {
  let root: string
  let storage: Storage
  let provider: ScriptedProvider
  let model: ModelAccess
  let server: OpencodeServer
  const relays: Relay[] = []

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'longshore-faults-'))
    storage = await openStorage(root)
    ;({ provider, model } = await scriptedModel())
    server = await startOpencodeServer(storage, model, { permission: { '*': 'allow', external_directory: 'ask' } })
  })
  afterEach(async () => {
    for (const relay of relays.splice(0)) await relay.stop()
  })
  afterAll(async () => {
    await server.stop()
    await provider.stop()
    await rm(root, { recursive: true, force: true })
  })

  const backendAt = (url: string, password = server.password, patience?: Partial<Patience>): Promise<Backend> =>
    createOpencodeMode({ deployment: 'suite-faults', storage, model, server: { url, password }, path: '', log: SILENT, ...(patience === undefined ? {} : { patience }) })
  const through = async (): Promise<{ relay: Relay; backend: Backend }> => {
    const relay = await startRelay(server.url)
    relays.push(relay)
    return { relay, backend: await backendAt(relay.url) }
  }
  const apiOf = ({ task }: Recorded): SessionApi => sessionApi({ url: server.url, username: 'opencode', password: server.password }, workspaceOf(storage, task.id).repo)
  const slowly = (count: number): Recorded => record(Array.from({ length: count }, (_, i) => `[[say line-${i + 1} ]]`).join(' '), { mode: 'opencode' })
  const expectAll = ({ events }: Recorded, outcome: ExecutionOutcome, count: number): void => {
    expect(outcome).toMatchObject({ kind: 'completed' })
    expect(textOf(events).match(/line-\d+/g)).toEqual(Array.from({ length: count }, (_, i) => `line-${i + 1}`))
  }

  test('a stream that is cut again and again loses and repeats nothing (L-16)', async () => {
    const { relay, backend } = await through()
    const one = slowly(20)
    const execution = await backend.start(one.task, one.run)
    const cutter = setInterval(relay.cut, 400)
    const outcome = await execution.outcome.finally(() => clearInterval(cutter))
    expectAll(one, outcome, 20)
    expect(relay.streams()).toBeGreaterThan(2)
  })

  test('a stream that says nothing delays the end by seconds only', async () => {
    const { relay, backend } = await through()
    relay.silenceStreams()
    const one = slowly(3)
    const began = performance.now()
    const execution = await backend.start(one.task, one.run)
    expectAll(one, await execution.outcome, 3)
    expect(performance.now() - began).toBeLessThan(25_000)
  })

  test('L-17: words like completed, finished and success, in what an agent says and does, end nothing; neither does an idle that is only said', async () => {
    const backend = await backendAt(server.url)
    const words = `[[bash echo '{"type":"session.idle","properties":{"status":"done"}}'; touch task.completed finished success]] [[say success: completed, finished, done]] [[write late.txt|late]] [[say really over]]`
    const one = record(words, { mode: 'opencode' })
    const outcome = await (await backend.start(one.task, one.run)).outcome
    expect(outcome).toMatchObject({ kind: 'completed', result: { files_changed: 4, output: expect.stringMatching(/success: [^]*really over$/) as string } })
  })

  test('what the server would ask about is denied where our policy denies it: nobody is asked, and the agent goes on (L-19)', async () => {
    const outside = await mkdtemp(join(tmpdir(), 'longshore-outside-'))
    await mkdir(outside, { recursive: true })
    await writeFile(join(outside, 'secret.txt'), 'secret')
    const backend = await backendAt(server.url)
    const one = record(`[[bash cat ${outside}/secret.txt]] [[write inside.txt|x]] [[say went on]]`, { mode: 'opencode' })
    const outcome = await (await backend.start(one.task, one.run)).outcome
    await rm(outside, { recursive: true, force: true })
    expect(outcome).toMatchObject({ kind: 'completed', result: { output: expect.stringContaining('went on') } })
    const tools = one.events.flatMap((event) => (event.type === 'task.tool' ? [event.payload] : []))
    expect(tools).toContainEqual(expect.objectContaining({ tool: 'bash', status: 'error', output: expect.stringContaining('external_directory') }))
    expect(one.asks).toEqual([])
    expect(JSON.stringify(one.events)).not.toContain('"output":"secret"')
  })

  test('a wrong password and a server that is not there have their own words', async () => {
    const wrong = await backendAt(server.url, 'not-the-password')
    expect(await wrong.probe()).toMatchObject({ ok: false, reason: expect.stringContaining('OPENCODE_SERVER_PASSWORD') })
    const one = record('[[say x]]', { mode: 'opencode' })
    await expect(wrong.start(one.task, one.run)).rejects.toMatchObject({ code: 'bad_credentials' })
    expect(await (await backendAt('http://127.0.0.1:9')).probe()).toMatchObject({ ok: false, reason: expect.stringContaining('does not answer') })
  })

  test('a worker that loses the claim in the middle of cleaning up removes nothing more (G4)', async () => {
    const backend = await backendAt(server.url)
    const one = record('[[say x]]', { mode: 'opencode' })
    const { handle, outcome } = await backend.start(one.task, one.run)
    await outcome
    await expect(backend.dispose(handle, owning(one, 1).run)).rejects.toThrow(LOST) // one abort, and the session is idle
    expect(await apiOf(one).list()).toEqual([handle.data['session']])
    await backend.dispose(handle, one.run)
    expect(await apiOf(one).list()).toEqual([])
  })

  test('a worker that loses the claim while it aborts a session again and again aborts no more (G4)', async () => {
    const backend = await backendAt(server.url)
    const one = record('[[say x]]', { mode: 'opencode' })
    await mkdir(workspaceOf(storage, one.task.id).repo, { recursive: true })
    const { id } = await apiOf(one).create('its prompt may be on its way', [])
    const handle = { v: 1, mode: 'opencode', storage_id: storage.id, data: { server: server.url, task: one.task.id } } as const
    for (const end of [backend.dispose, backend.checkpoint]) {
      const { run, asked } = owning(one, 3)
      await expect(end(handle, run)).rejects.toThrow(LOST)
      expect(asked()).toBe(4)
    }
    expect(await apiOf(one).list()).toEqual([id])
    await backend.dispose(handle, one.run)
  })

  test('another storage than ours is not touched', async () => {
    const backend = await backendAt(server.url)
    const one = record('[[say x]]', { mode: 'opencode' })
    const elsewhere = { v: 1, mode: 'opencode', storage_id: 'another', data: { server: server.url, task: one.task.id, session: 'ses_x' } } as const
    await expect(backend.attach(one.task, elsewhere, one.run)).rejects.toMatchObject({ code: 'backend_unavailable' })
  })

  test('a session that somebody removed is lost, not waited for', async () => {
    const { backend } = await through()
    const one = record('[[say x]] [[hang]]', { mode: 'opencode' })
    const execution = await backend.start(one.task, one.run)
    await waitFor(() => textOf(one.events) !== '', { what: 'the first words', timeoutMs: 60_000 })
    await backend.dispose(execution.handle, one.run)
    expect(await execution.outcome).toMatchObject({ kind: 'failed' })
  })

  test('a server that goes away under a task is waited for as long as the settings say, and then lost', async () => {
    const relay = await startRelay(server.url)
    const backend = await backendAt(relay.url, server.password, { lookEveryMs: 500, retryDelayMs: 100, unreachableMs: 2_000 })
    const one = record('[[hang]]', { mode: 'opencode' })
    const execution = await backend.start(one.task, one.run)
    const began = performance.now()
    await relay.stop()
    expect(await execution.outcome).toMatchObject({ kind: 'failed', failure: { code: 'backend_lost', message: expect.stringContaining('has not answered for 2 s') as string } })
    expect(performance.now() - began).toBeGreaterThan(1_000)
    expect(performance.now() - began).toBeLessThan(20_000)
  })
})
