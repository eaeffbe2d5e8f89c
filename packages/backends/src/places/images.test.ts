import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Backend, type Log, SILENT } from '@longshore/contracts'
import { describeNeeding, engineHost, runnerImage, waitFor } from '@longshore/testkit'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { createDockerMode } from '../docker-mode.ts'
import { record, textOf } from '../fixtures/record.ts'
import { pushSmallImage, type Registry, startRegistry } from '../fixtures/registry.ts'
import { openStorage, type Storage } from '../workspace/storage.ts'
import { LABEL } from './container-spec.ts'
import { connectEngine } from './engine.ts'
import { createImages, pullFailure } from './images.ts'

describeNeeding(['docker', 'registry'], 'an image that the engine lacks', () => {
  let engine: string
  let storage: Storage
  let registry: Registry
  let small: string
  const endings: (() => Promise<unknown>)[] = []
  const deployment = `images-${randomBytes(6).toString('hex')}`
  const docker = () => connectEngine(engine)

  beforeAll(async () => {
    engine = await engineHost()
    storage = await openStorage(await mkdtemp(join(tmpdir(), 'longshore-images-')))
    registry = await startRegistry()
    small = `${registry.host}/small:${randomBytes(6).toString('hex')}`
    await pushSmallImage(engine, await runnerImage(), small)
  })
  afterEach(async () => {
    for (const ending of endings.splice(0).toReversed()) await ending()
    await docker().getImage(small).remove({ force: true }).catch(() => {}) // most tests do not pull it
  })
  afterAll(async () => {
    await registry.stop()
    await rm(storage.root, { recursive: true, force: true })
  })

  /** A docker mode with a profile for each image, and what it logged. */
  const modeOf = (images: Record<string, string>, main = 'longshore/no-such-image:none'): { backend: Backend; said: string[] } => {
    const said: string[] = []
    const log: Log = { ...SILENT, info: (_fields, text) => void said.push(text) }
    const profiles = Object.fromEntries(Object.entries(images).map(([name, image]) => [name, { driver: 'command' as const, image, command: ['sh', '-s'], env: {} }]))
    const backend = createDockerMode({ deployment, engine, storage, image: main, model: { config: {}, env: {} }, profiles, log })
    endings.push(() => backend.close())
    return { backend, said }
  }
  const start = (backend: Backend, profile: string) => {
    const one = record('echo from the pulled image', { mode: 'docker', profile })
    endings.push(async () => one.handles[0] !== undefined && backend.dispose(one.handles[0], one.run))
    const execution = backend.start(one.task, one.run)
    execution.catch(() => {})
    return { ...one, execution }
  }
  const failureOf = async (image: string): Promise<unknown> => start(modeOf({ it: image }).backend, 'it').execution.catch((error: unknown) => error)
  /** Scripted: a server that answers every call of the registry's protocol in the same way. */
  const scriptedRegistry = async (answer: RequestListener): Promise<string> => {
    const server = createServer(answer).listen(0, '127.0.0.1')
    await once(server, 'listening')
    endings.push(async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    })
    return `127.0.0.1:${(server.address() as AddressInfo).port}/some/image:1`
  }

  test('is pulled when tasks want it, once for all of them', async () => {
    const { backend, said } = modeOf({ it: small })
    const tasks = [start(backend, 'it'), start(backend, 'it')]
    for (const { execution, events } of tasks) {
      expect(await (await execution).outcome).toMatchObject({ kind: 'completed' })
      expect(textOf(events)).toContain('from the pulled image')
    }
    expect(said.filter((text) => text.startsWith('pulling'))).toHaveLength(1)
  })

  test('keeps its mode off only until it is pulled: the probe begins that', async () => {
    const { backend, said } = modeOf({ opencode: small })
    expect(await backend.probe()).toEqual({ ok: false, reason: `the image ${small} is being pulled` })
    await waitFor(async () => (await backend.probe()).ok, { what: 'the image to be there' })
    expect(said.filter((text) => text.startsWith('pulling'))).toHaveLength(1)
  })

  test('and that the registry does not know is missing, and the probe says so', async () => {
    const unknown = `${registry.host}/unheard-of:1`
    expect(await failureOf(unknown)).toMatchObject({ code: 'image_missing', message: expect.stringContaining('manifest unknown') })
    const { backend } = modeOf({ opencode: unknown })
    await waitFor(async () => JSON.stringify(await backend.probe()).includes('manifest unknown'), { what: 'the reason' })
  })

  test('is missing where the registry denies it, and where its name is none (scripted registry)', async () => {
    const denies = await scriptedRegistry((request, response) => {
      response.writeHead(request.url === '/v2/' ? 200 : 403).end(JSON.stringify({ errors: [{ code: 'DENIED', message: 'requested access to the resource is denied' }] }))
    })
    expect(await failureOf(denies)).toMatchObject({ code: 'image_missing' })
    const wantsLogin = await scriptedRegistry((_request, response) => response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end())
    expect(await failureOf(wantsLogin)).toMatchObject({ code: 'image_missing', message: expect.stringContaining('log in') })
    await expect(createImages(docker(), SILENT).pull(`${registry.host}/Not a name`, AbortSignal.timeout(60_000))).rejects.toMatchObject({ code: 'image_missing' })
  })

  test('may be had later from a registry that is not there, has trouble, or breaks off (scripted registry)', async () => {
    expect(await failureOf('127.0.0.1:9/some/image:1')).toMatchObject({ code: 'image_pull', message: expect.stringContaining('connection refused') })
    expect(await failureOf(await scriptedRegistry((_request, response) => response.writeHead(503).end()))).toMatchObject({ code: 'image_pull', message: expect.stringContaining('503') })
    const breaksOff = await scriptedRegistry((request, response) => (request.url === '/v2/' ? response.end() : request.socket.destroy()))
    expect(await failureOf(breaksOff)).toMatchObject({ code: 'image_pull' })
  })

  test('is not waited for for ever when the registry says nothing (scripted registry)', async () => {
    const silent = await scriptedRegistry(() => {})
    await expect(createImages(docker(), SILENT, 300).pull(silent, new AbortController().signal)).rejects.toMatchObject({ code: 'image_pull', message: expect.stringContaining('said nothing for 0.3 s') })
  })

  test('starts nothing for a task that was let go meanwhile (G9)', async () => {
    const { backend, said } = modeOf({ it: await scriptedRegistry(() => {}) })
    const one = start(backend, 'it')
    await waitFor(() => said.length > 0, { what: 'the pull to begin' })
    one.letGo.abort(new Error('let go'))
    await expect(one.execution).rejects.toThrow('let go')
    expect(await docker().listContainers({ all: true, filters: { label: [`${LABEL.task}=${one.task.id}`] } })).toEqual([])
  })

  test('and whose name says no registry is a local one: no stranger is asked for it', async () => {
    const { backend, said } = modeOf({ it: 'longshore/no-such-image:none' })
    await expect(start(backend, 'it').execution).rejects.toMatchObject({ code: 'image_missing', message: expect.stringContaining('put its registry into the name') })
    expect(await backend.probe()).toMatchObject({ ok: false, reason: expect.stringContaining('no-such-image') })
    expect(said).toEqual([])
  })

  test('is not blamed on the registry when the engine itself is away', () => {
    expect(pullFailure(Object.assign(new Error('connect ENOENT'), { code: 'ENOENT' }), 'x').code).toBe('backend_unavailable')
  })
})
