import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Backend, SILENT, type TaskId, taskIdFrom } from '@longshore/contracts'
import { describeNeeding, engineHost, runnerImage, type ScriptedProvider } from '@longshore/testkit'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { createDockerMode } from '../docker-mode.ts'
import { allSessions, authorizationOf } from '../drivers/opencode/session-api.ts'
import type { ModelAccess } from '../drivers/opencode/server-settings.ts'
import { startOpencodeServer } from '../fixtures/opencode-server.ts'
import { processesOf } from '../fixtures/processes.ts'
import { record, type Recorded } from '../fixtures/record.ts'
import { scriptedModel } from '../fixtures/scripted-model.ts'
import { createOpencodeMode } from '../opencode-mode.ts'
import { openStorage, type Storage, workspaceOf } from '../workspace/storage.ts'
import { LABEL } from './container-spec.ts'
import { connectEngine } from './engine.ts'
import { MARKER } from './process-tree.ts'

/** Start times are known to the second. */
const ROUGHLY_MS = 2_000

describeNeeding(['docker', 'opencode'], 'what a backend finds of its deployment (G10)', () => {
  let root: string
  let storage: Storage
  let provider: ScriptedProvider
  let model: ModelAccess
  let origin: string
  const endings: (() => Promise<unknown>)[] = []

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'longshore-list-'))
    storage = await openStorage(root)
    ;({ provider, model, origin } = await scriptedModel())
  })
  afterEach(async () => {
    for (const ending of endings.splice(0).toReversed()) await ending()
  })
  afterAll(async () => {
    await provider.stop()
    await rm(root, { recursive: true, force: true })
  })

  const aDeployment = (): string => `list-${randomBytes(6).toString('hex')}`
  const aTaskId = (): TaskId => taskIdFrom(randomBytes(52))
  const begin = async (backend: Backend, prompt: string, profile = 'opencode'): Promise<Recorded> => {
    const one = record(prompt, { mode: backend.mode, profile })
    endings.push(() => backend.dispose(one.handles.at(-1)!, one.run))
    await backend.start(one.task, one.run)
    one.letGo.abort()
    return one
  }
  /** Whoever finds it knows nothing but what it found. */
  const sweep = async (backend: Backend): Promise<void> => {
    const { run } = record('')
    for (const { handle } of await backend.list()) await backend.dispose(handle, run)
    expect(await backend.list()).toEqual([])
  }
  const expectFound = async (backend: Backend, tasks: readonly Recorded[], since: number, isShared = false): Promise<void> => {
    const found = await backend.list()
    expect(found.map(({ taskId }) => taskId).toSorted()).toEqual(tasks.map(({ task }) => task.id).toSorted())
    const engine = isShared ? undefined : await backend.engineId()
    for (const { taskId, createdAt, handle } of found) {
      expect(createdAt).toBeGreaterThan(since - ROUGHLY_MS)
      expect(createdAt).toBeLessThanOrEqual(Date.now())
      expect(handle).toMatchObject({ v: 1, mode: backend.mode, storage_id: storage.id, data: { task: taskId } })
      expect(handle.engine_id).toBe(engine)
    }
  }

  test('containers of every profile, also stopped ones, once each; and it removes no other deployment\'s, no other storage\'s and nobody else\'s', async () => {
    const [engine, image, deployment] = [await engineHost(), await runnerImage(), aDeployment()]
    const docker = connectEngine(engine)
    const backend = createDockerMode({ deployment, engine, image, storage, model, modelOnHost: origin, profiles: { shell: { driver: 'command', image, command: ['sh', '-s'], env: {} } }, log: SILENT })
    endings.push(() => backend.close())
    const beside = async (Labels: Record<string, string>): Promise<() => Promise<boolean>> => {
      const container = await docker.createContainer({ Image: image, Entrypoint: [], Cmd: ['sleep', '300'], Labels, HostConfig: { NetworkMode: 'none' } })
      endings.push(() => container.remove({ force: true }))
      await container.start()
      return async () => (await container.inspect()).State.Running
    }
    const others = await Promise.all([
      beside({}),
      beside({ [LABEL.deployment]: `${deployment}-2`, [LABEL.storage]: storage.id, [LABEL.task]: aTaskId(), [LABEL.claim]: '1' }),
      beside({ [LABEL.deployment]: deployment, [LABEL.storage]: randomUUID(), [LABEL.task]: aTaskId(), [LABEL.claim]: '1' }),
      beside({ [LABEL.deployment]: deployment, [LABEL.storage]: storage.id, [LABEL.task]: 'not one of ours', [LABEL.claim]: '1' }),
    ])
    const since = Date.now()
    const tasks = [await begin(backend, '[[hang]]'), await begin(backend, 'sleep 300', 'shell'), await begin(backend, 'true', 'shell')]
    await docker.getContainer(String(tasks[2]?.handles.at(-1)?.data['container'])).wait()
    await expectFound(backend, tasks, since)
    await sweep(backend)
    for (const isAlive of others) expect(await isAlive()).toBe(true)
  })

  test('the processes that it supervises, also of a confined user; and it ends no other deployment\'s, no other storage\'s and nobody else\'s', async () => {
    const deployment = aDeployment()
    const backend = await createOpencodeMode({ deployment, storage, model, path: process.env['PATH'] ?? '', log: SILENT })
    const beside = (env: Record<string, string>): ChildProcess => {
      const child = spawn('sleep', ['300'], { stdio: 'ignore', env: { PATH: process.env['PATH'], ...env } })
      endings.push(() => end(child))
      return child
    }
    const others = [
      beside({}),
      beside({ [MARKER]: `${deployment}-2/${storage.id}/${aTaskId()}/1/${randomUUID()}` }),
      beside({ [MARKER]: `${deployment}/${randomUUID()}/${aTaskId()}/1/${randomUUID()}` }),
      beside({ [MARKER]: `${deployment}/${storage.id}/not-one-of-ours/1/${randomUUID()}` }),
    ]
    const since = Date.now()
    const tasks = [await begin(backend, '[[hang]]'), await begin(backend, '[[hang]]')]
    await expectFound(backend, tasks, since)
    await sweep(backend)
    for (const { task } of tasks) expect(await processesOf(task.id)).toEqual([])
    for (const { exitCode, signalCode } of others) expect([exitCode, signalCode]).toEqual([null, null])
  })

  test('a process whose leader is gone, and which only its marker names', async () => {
    const deployment = aDeployment()
    const backend = await createOpencodeMode({ deployment, storage, model, path: process.env['PATH'] ?? '', log: SILENT })
    const taskId = aTaskId()
    const orphan = spawn('sleep', ['300'], { stdio: 'ignore', detached: true, env: { PATH: process.env['PATH'], [MARKER]: `${deployment}/${storage.id}/${taskId}/3/${randomUUID()}` } })
    endings.push(() => end(orphan))
    expect((await backend.list()).map((found) => found.taskId)).toEqual([taskId])
    const ended = once(orphan, 'exit')
    await sweep(backend)
    expect(await ended).toEqual([null, 'SIGKILL'])
  })

  test('the sessions on a shared server whose directory is a workspace of ours; and it removes no other\'s', async () => {
    const server = await startOpencodeServer(storage, model)
    endings.push(() => server.stop())
    const backend = await createOpencodeMode({ deployment: aDeployment(), storage, model, server, path: '', log: SILENT })
    const address = { url: server.url, username: 'opencode', password: server.password }
    const elsewhere = [tmpdir(), root, join(root, 'task-of-nobody', 'repo'), workspaceOf(storage, aTaskId()).directory, join(root, 'deeper', aTaskId(), 'repo'), `${workspaceOf(storage, aTaskId()).repo}/inside`]
    for (const directory of elsewhere) {
      await mkdir(directory, { recursive: true })
      const url = new URL('/session', server.url)
      url.searchParams.set('directory', directory)
      expect((await fetch(url, { method: 'POST', headers: { ...authorizationOf(address), 'content-type': 'application/json' }, body: '{}' })).status).toBe(200)
    }
    const since = Date.now()
    const tasks = [await begin(backend, '[[hang]]'), await begin(backend, '[[say x]]')]
    await expectFound(backend, tasks, since, true)
    await sweep(backend)
    const left = await allSessions(address)
    expect(left.map(({ directory }) => directory).toSorted()).toEqual(elsewhere.toSorted())
  })

  test('the sessions on a shared server, which are on no other engine for whoever spells its URL differently', async () => {
    const server = await startOpencodeServer(storage, model)
    endings.push(() => server.stop())
    const spell = (host: string): Promise<Backend> =>
      createOpencodeMode({ deployment: aDeployment(), storage, model, server: { ...server, url: server.url.replace('127.0.0.1', host) }, path: '', log: SILENT })
    const [backend, other] = [await spell('127.0.0.1'), await spell('localhost')]
    const since = Date.now()
    const one = await begin(backend, '[[hang]]')
    expect(one.handles.at(-1)?.engine_id).toBe(server.url)
    for (const each of [backend, other]) await expectFound(each, [one], since, true)
    await sweep(other)
  })

  test('nothing, and says so, where the place does not answer', async () => {
    const image = 'longshore/no-such-image:none'
    const containers = createDockerMode({ deployment: aDeployment(), engine: `unix://${join(root, 'no.sock')}`, image, storage, model, log: SILENT })
    await expect(containers.list()).rejects.toMatchObject({ code: 'backend_unavailable' })
    const remote = await createOpencodeMode({ deployment: aDeployment(), storage, model, server: { url: 'http://127.0.0.1:9' }, path: '', log: SILENT })
    await expect(remote.list()).rejects.toMatchObject({ code: 'backend_unavailable' })
  })
})

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGKILL')
  await ended
}
