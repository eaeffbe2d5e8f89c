import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describeNeeding, engineHost, runnerImage, waitFor } from '@longshore/testkit'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { openStorage, type Storage } from '../workspace/storage.ts'
import { LABEL } from './container-spec.ts'
import { connectEngine } from './engine.ts'
import { probeStorage } from './storage-probe.ts'

const USER = { uid: 1000, gid: 1000 }
const PROBE = `
const { connectEngine } = await import(process.argv[1] + '/engine.ts')
const { probeStorage } = await import(process.argv[1] + '/storage-probe.ts')
const [, , engine, ...words] = process.argv
await probeStorage(connectEngine(engine), ...words.map((word) => JSON.parse(word)))`

describeNeeding('docker', "the storage's probe", () => {
  let storage: Storage
  const aDeployment = (): string => `probe-${randomBytes(6).toString('hex')}`
  beforeAll(async () => {
    storage = await openStorage(await mkdtemp(join(tmpdir(), 'longshore-probe-')))
  })
  afterAll(() => rm(storage.root, { recursive: true, force: true }))

  test('ends, and leaves no container, when the engine never says that it is gone', async () => {
    const [deployment, docker] = [aDeployment(), connectEngine(await engineHost())]
    const create = docker.createContainer.bind(docker)
    vi.spyOn(docker, 'createContainer').mockImplementation(async (options) => Object.assign(await create(options), { wait: () => new Promise(() => undefined) }))
    expect(await probeStorage(docker, deployment, storage, await runnerImage(), USER)).toBeUndefined()
    expect(await docker.listContainers({ all: true, filters: { label: [`${LABEL.deployment}=${deployment}`] } })).toEqual([])
  })

  test('leaves no container, also when its worker is killed in the middle of it', async () => {
    const [engine, image, deployment] = [await engineHost(), await runnerImage(), aDeployment()]
    const docker = connectEngine(engine)
    const filters = { label: [`${LABEL.deployment}=${deployment}`] }
    expect(await probeStorage(docker, deployment, storage, image, USER)).toBeUndefined()
    expect(await docker.listContainers({ all: true, filters })).toEqual([])

    const events = (await docker.getEvents({ filters: { ...filters, event: ['start'] } }))[Symbol.asyncIterator]()
    const words = [deployment, storage, image, USER].map((word) => JSON.stringify(word))
    const worker = spawn(process.execPath, ['--input-type=module', '-e', PROBE, import.meta.dirname, engine, ...words], { stdio: 'inherit' })
    const ended = once(worker, 'exit')
    await events.next()
    worker.kill('SIGKILL')
    await ended
    await events.return?.()
    await waitFor(async () => (await docker.listContainers({ all: true, filters })).length === 0, { what: 'the engine to remove it' })
  })
})
