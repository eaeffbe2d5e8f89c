import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Backend, type Execution, type Handle, SILENT } from '@longshore/contracts'
import { describeNeeding, type ScriptedProvider, waitFor } from '@longshore/testkit'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import type { Patience } from './drivers/opencode/patience.ts'
import type { ModelAccess } from './drivers/opencode/server-settings.ts'
import { type SessionApi, sessionApi } from './drivers/opencode/session-api.ts'
import { type OpencodeServer, startOpencodeServer } from './fixtures/opencode-server.ts'
import { record, type Recorded, successorOf, textOf } from './fixtures/record.ts'
import { scriptedModel } from './fixtures/scripted-model.ts'
import { createOpencodeMode } from './opencode-mode.ts'
import { openStorage, type Storage, workspaceOf } from './workspace/storage.ts'

const SLOW_MS = 60_000
const NOTE = 'You were interrupted; go on.'

describeNeeding('opencode', 'An OpenCode session that stops moving', () => {
  let root: string
  let storage: Storage
  let provider: ScriptedProvider
  let model: ModelAccess
  let server: OpencodeServer
  const started: { backend: Backend; one: Recorded }[] = []

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'longshore-lost-'))
    storage = await openStorage(root)
    ;({ provider, model } = await scriptedModel())
    server = await startOpencodeServer(storage, model)
  })
  afterEach(async () => {
    for (const { backend, one } of started.splice(0)) {
      one.letGo.abort()
      for (const handle of one.handles.slice(-1)) await backend.dispose(handle, one.run)
    }
  })
  afterAll(async () => {
    await server.stop()
    await provider.stop()
    await rm(root, { recursive: true, force: true })
  })

  const watching = (patience: Partial<Patience> = {}): Promise<Backend> =>
    createOpencodeMode({ deployment: 'suite-lost', storage, model, server, path: '', log: SILENT, patience: { lookEveryMs: 300, ...patience } })
  const begin = async (backend: Backend, prompt: string): Promise<{ one: Recorded; execution: Execution; api: SessionApi; session: string }> => {
    const one = record(prompt, { mode: 'opencode' })
    started.push({ backend, one })
    const execution = await backend.start(one.task, one.run)
    execution.outcome.catch(() => {})
    const api = sessionApi({ url: server.url, username: 'opencode', password: server.password }, workspaceOf(storage, one.task.id).repo)
    return { one, execution, api, session: String(execution.handle.data['session']) }
  }
  const succeed = (backend: Backend, one: Recorded): { next: Recorded; handle: Handle } => {
    one.letGo.abort()
    const next = successorOf(one)
    started.push({ backend, one: next })
    return { next, handle: next.task.handle as Handle }
  }
  const saying = (one: Recorded, words: string): Promise<unknown> => waitFor(() => textOf(one.events).includes(words), { what: `the words ${words}`, timeoutMs: SLOW_MS })

  test('a model that hangs has stalled: the session is aborted, and the limit and the last sign of life are named (G9)', async () => {
    const { execution, api, session } = await begin(await watching({ stallMs: 10_000 }), '[[say hello]] [[hang]]')
    const outcome = await execution.outcome
    expect(outcome).toMatchObject({ kind: 'failed', failure: { code: 'stalled', message: expect.stringMatching(/for 10 s \(STALL_MS, no tool runs\); the last one, .+, was \d+ s ago/) as string }, result: { output: 'hello' } })
    expect(await api.isBusy(session)).toBe(false)
  })

  test('a shell command that is silent has not stalled', async () => {
    const { execution, one } = await begin(await watching({ stallMs: 20_000, stallToolMs: SLOW_MS }), '[[bash sleep 25]] [[say slept well]]')
    // The model's own turns are watched with a limit that a busy machine may miss: what counts is that the command was not cut off.
    const outcome = await execution.outcome
    expect(one.events).toContainEqual(expect.objectContaining({ type: 'task.tool', payload: expect.objectContaining({ tool: 'bash', status: 'completed' }) as object }))
    expect(outcome).toMatchObject({ kind: 'completed', result: { output: expect.stringContaining('slept well') as string } })
  })

  test('a tool that is silent for longer than a tool may be has stalled', async () => {
    const { execution, one } = await begin(await watching({ stallMs: SLOW_MS, stallToolMs: 2_000 }), '[[bash sleep 300]]')
    expect(await execution.outcome).toMatchObject({ kind: 'failed', failure: { code: 'stalled', message: expect.stringContaining('2 s (STALL_TOOL_MS, a tool runs)') as string } })
    // OpenCode calls a command that was cut off completed, and says so in its output.
    expect(one.events).toContainEqual(expect.objectContaining({ type: 'task.tool', payload: expect.objectContaining({ tool: 'bash', output: expect.stringContaining('aborted') as string }) as object }))
  })

  test('a session that somebody else aborted is lost, for its owner and for an adopter; never complete', async () => {
    const backend = await watching()
    const { one, execution, api, session } = await begin(backend, '[[say hello]] [[hang]]')
    await saying(one, 'hello')
    await api.abort(session, SLOW_MS)
    expect(await execution.outcome).toMatchObject({ kind: 'failed', failure: { code: 'backend_lost' } })
    const { next, handle } = succeed(backend, one)
    const adopted = await backend.attach(next.task, handle, next.run)
    expect(await adopted?.outcome).toMatchObject({ kind: 'failed', failure: { code: 'backend_lost' } })
  })

  test('a server that was started again in the middle of a text is noticed within seconds, and what was said is not said again', async () => {
    const backend = await watching()
    const { one, execution } = await begin(backend, '[[say first]] [[stream 100|50]]')
    await saying(one, 'chunk-3')
    await server.restart()
    const began = performance.now()
    expect(await execution.outcome).toMatchObject({ kind: 'failed', failure: { code: 'backend_lost', message: expect.stringContaining('stopped in the middle') as string } })
    expect(performance.now() - began).toBeLessThan(30_000)

    const { next, handle } = succeed(backend, one)
    const resumed = await backend.resume(next.task, handle, next.run, `${NOTE} [[say the end]]`)
    // The model's turn was lost, or what it had said of it is in the conversation; the mirror waits for no text that was cut off.
    expect(await resumed?.outcome).toMatchObject({ kind: 'completed', result: { output: expect.stringContaining('the end') as string } })
    expect(textOf([...one.events, ...next.events]).match(/first/g)).toHaveLength(1)
    expect(resumed?.handle.data['session']).toBe(handle.data['session'])
  })

  test('an adopter whose server was started again since finds the run lost, also one that left no trace but its prompt', async () => {
    const backend = await watching()
    const { one, api, session } = await begin(backend, '[[hang]]')
    await waitFor(() => api.isBusy(session), { what: 'the run to begin', timeoutMs: SLOW_MS })
    one.letGo.abort()
    await server.restart()
    const { next, handle } = succeed(backend, one)
    // A connection from before the restart may be met first: a worker asks again, too.
    const adopted = await waitFor(() => backend.attach(next.task, handle, next.run), { what: 'the server to answer' })
    expect(await adopted.outcome).toMatchObject({ kind: 'failed', failure: { code: 'backend_lost' } })
  })
})
