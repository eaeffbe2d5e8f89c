import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Backend, type Handle, SILENT } from '@longshore/contracts'
import { describeNeeding, type ScriptedProvider, waitFor } from '@longshore/testkit'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { nextPromptIds, type PromptIds } from './drivers/opencode/prompt.ts'
import { type SessionApi, sessionApi } from './drivers/opencode/session-api.ts'
import type { ModelAccess } from './drivers/opencode/server-settings.ts'
import { type OpencodeServer, startOpencodeServer } from './fixtures/opencode-server.ts'
import { record, type Recorded, successorOf, textOf } from './fixtures/record.ts'
import { startRelay } from './fixtures/relay.ts'
import { scriptedModel } from './fixtures/scripted-model.ts'
import { createOpencodeMode } from './opencode-mode.ts'
import { openStorage, type Storage, workspaceOf } from './workspace/storage.ts'

const SLOW_MS = 60_000

describeNeeding('opencode', 'What an OpenCode session is told when things go wrong', () => {
  let root: string
  let storage: Storage
  let provider: ScriptedProvider
  let model: ModelAccess
  let server: OpencodeServer
  const started: { backend: Backend; one: Recorded }[] = []

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'longshore-steer-'))
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

  const backendAt = (url: string): Promise<Backend> => createOpencodeMode({ deployment: 'suite-steer', storage, model, server: { url, password: server.password }, path: '', log: SILENT })
  const apiOf = ({ task }: Recorded): SessionApi => sessionApi({ url: server.url, username: 'opencode', password: server.password }, workspaceOf(storage, task.id).repo)
  const track = (backend: Backend, one: Recorded): Recorded => {
    started.push({ backend, one })
    return one
  }
  const times = (owners: readonly Recorded[], word: string): number => textOf(owners.flatMap(({ events }) => events)).split(word).length - 1

  /** As it is stored in the last moment of a run: nobody goes on with it. */
  async function store({ task }: Recorded, session: string, { message, part }: PromptIds, text: string): Promise<void> {
    const url = new URL(`/session/${session}/message`, server.url)
    url.searchParams.set('directory', workspaceOf(storage, task.id).repo)
    const response = await fetch(url, {
      method: 'POST', headers: { 'content-type': 'application/json', authorization: `Basic ${btoa(`opencode:${server.password}`)}` },
      body: JSON.stringify({ messageID: message, noReply: true, parts: [{ id: part, type: 'text', text }] }),
    })
    expect(response.status).toBe(200)
  }

  test('a message that came when the server had looked for the last time is answered all the same, in the run of whoever owns it then', async () => {
    const backend = await backendAt(server.url)
    const one = record('[[say its own end]]', { mode: 'opencode' })
    const { outcome, handle } = await backend.start(one.task, one.run)
    expect(await outcome).toMatchObject({ kind: 'completed' })
    const session = String(handle.data['session'])
    const ids = nextPromptIds(await apiOf(one).messages(session))
    await store(one, session, ids, '[[say heard late]]')

    one.handles.push({ ...handle, data: { ...handle.data, mail: 'message-1', mail_message: ids.message, mail_part: ids.part } })
    const next = track(backend, successorOf(one))
    const adopted = await backend.attach(next.task, next.task.handle as Handle, next.run)
    expect(await adopted?.tell?.({ id: 'message-1', text: '[[say heard late]]' })).toBe('delivered')
    expect(await adopted?.outcome).toMatchObject({ kind: 'completed', result: { output: 'its own end\n\nheard late' } })
    expect(times([next], 'heard late')).toBe(1)
  })

  test('a message whose answer was lost is not told twice, and the run does not end without it', async () => {
    const relay = await startRelay(server.url)
    const backend = await backendAt(relay.url)
    const one = track(backend, record('[[say begun]] [[bash until [ -e go ]; do sleep 0.1; done]] [[say its own end]]', { mode: 'opencode' }))
    const execution = await backend.start(one.task, one.run)
    await waitFor(() => textOf(one.events).includes('begun'), { what: 'the agent to begin', timeoutMs: SLOW_MS })
    relay.loseAnswersTo('prompt_async')
    const message = { id: 'message-1', text: '[[say heard once]]' }
    await expect(execution.tell?.(message)).rejects.toMatchObject({ name: 'TaskFailure', code: 'backend_unavailable' })
    relay.loseAnswersTo(undefined)
    expect(await execution.tell?.(message)).toBe('delivered')
    await writeFile(join(workspaceOf(storage, one.task.id).repo, 'go'), '')
    expect(await execution.outcome).toMatchObject({ kind: 'completed' })
    expect(times([one], 'heard once')).toBe(1)
    await backend.dispose(one.handles.at(-1) as Handle, one.run)
    started.splice(0)
    await relay.stop()
  })

  test('a checkpoint ends also what a message begins that was still on its way', async () => {
    const backend = await backendAt(server.url)
    const one = track(backend, record('[[say its own end]]', { mode: 'opencode' }))
    const { outcome, handle } = await backend.start(one.task, one.run)
    await outcome
    const api = apiOf(one)
    const session = String(handle.data['session'])
    const ids = nextPromptIds(await api.messages(session))
    let asked = 0
    const confirmClaim = async (): Promise<void> => {
      asked += 1
      if (asked === 2) await api.prompt(session, ids.message, ids.part, '[[hang]]') // its first abort has met nothing
    }
    await backend.checkpoint({ ...handle, data: { ...handle.data, mail: 'message-1', mail_message: ids.message, mail_part: ids.part } }, { ...one.run, confirmClaim })
    await waitFor(async () => (await api.messages(session, 1)).some(({ info }) => info.parentID === ids.message), { what: 'the message to be taken', timeoutMs: SLOW_MS })
    expect(await api.isBusy(session)).toBe(false)
  })

  test('a message that reaches a run while it ends is answered in it, or comes too late: never in between', async () => {
    const backend = await backendAt(server.url)
    const ends = await Promise.all(Array.from({ length: 6 }, async (_, i) => {
      const one = track(backend, record('[[say its own end]]', { mode: 'opencode' }))
      const execution = await backend.start(one.task, one.run)
      await waitFor(() => textOf(one.events).includes('its own'), { what: 'its last words', timeoutMs: SLOW_MS })
      const answer = await execution.tell?.({ id: `message-${i}`, text: '[[say heard]]' })
      const outcome = await execution.outcome
      return { answer, kind: outcome.kind, heard: times([one], 'heard') }
    }))
    expect(ends.map(({ answer, kind, heard }) => [kind, answer === 'delivered' ? 1 : 0, heard])).toEqual(ends.map(({ heard }) => ['completed', heard, heard]))
  })
})
