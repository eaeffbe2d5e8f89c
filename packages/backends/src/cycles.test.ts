import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Backend, type Handle, SILENT } from '@longshore/contracts'
import { describeNeeding, engineHost, runnerImage, type ScriptedProvider, waitFor } from '@longshore/testkit'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Dialect } from './backend.testsuite.ts'
import { createDockerMode } from './docker-mode.ts'
import { allSessions } from './drivers/opencode/session-api.ts'
import type { ModelAccess } from './drivers/opencode/server-settings.ts'
import { DIRECTIVES, SHELL } from './fixtures/dialects.ts'
import { leftoversOf, openSockets } from './fixtures/leftovers.ts'
import { startOpencodeServer } from './fixtures/opencode-server.ts'
import { record } from './fixtures/record.ts'
import { scriptedModel } from './fixtures/scripted-model.ts'
import { createOpencodeMode } from './opencode-mode.ts'
import { connectEngine } from './places/engine.ts'
import { openStorage, type Storage } from './workspace/storage.ts'

/** The soak runner asks for a hundred. */
const CYCLES = Number(process.env['SOAK_CYCLES'] ?? 5)
/** What two cores bear at once. */
const LANES = 3
const TIMEOUT_MS = 60_000 + CYCLES * 20_000

describeNeeding(['docker', 'opencode'], `${CYCLES} times started and stopped, nothing is left (G9)`, () => {
  const deployment = `cycles-${randomBytes(6).toString('hex')}`
  let engine: string
  let image: string
  let storage: Storage
  let provider: ScriptedProvider
  let model: ModelAccess
  let origin: string

  beforeAll(async () => {
    ;[engine, image, storage] = await Promise.all([engineHost(), runnerImage(), openStorage(await mkdtemp(join(tmpdir(), 'longshore-cycles-')))])
    ;({ provider, model, origin } = await scriptedModel())
  })
  afterAll(async () => {
    await provider.stop()
    await rm(storage.root, { recursive: true, force: true })
  })

  /** Of four tasks one ends by itself, one is ended while it works, one right after its start, and one by an owner that knows only where it was to be. */
  async function cycle(backend: Backend, i: number, dialect: Dialect, profile: string): Promise<void> {
    const one = record(i % 4 === 0 ? dialect.say('done') : `${dialect.say('busy')} ${dialect.hang()}`, { mode: backend.mode, profile })
    const execution = await backend.start(one.task, one.run)
    if (i % 4 === 0) expect(await execution.outcome).toMatchObject({ kind: 'completed' })
    if (i % 4 === 1) await waitFor(() => one.events.length > 0, { what: 'the first words', timeoutMs: 60_000 })
    one.letGo.abort()
    await backend.dispose((i % 4 === 3 ? one.handles[0] : one.handles.at(-1)) as Handle, one.run)
  }

  async function cycles(backend: Backend, dialect: Dialect, profile: string): Promise<void> {
    let next = 0
    const lane = async (): Promise<void> => {
      while (next < CYCLES) await cycle(backend, next++, dialect, profile)
    }
    await Promise.all(Array.from({ length: LANES }, lane))
    expect(await backend.list()).toEqual([])
  }

  /** Asks for a while: whom the kernel has still to bury, and connections that are kept for the next call, are no leftovers. The last answer counts: to ask once more would meet the connections of the asking itself. */
  async function whatStays(socketsBefore: number): Promise<string[]> {
    let left: string[] = []
    await waitFor(async () => {
      const more = (await openSockets()) - socketsBefore
      left = [...(await leftoversOf(deployment, storage, connectEngine(engine))), ...(more > 0 ? [`${more} sockets of this process`] : [])]
      return left.length === 0
    }, { what: 'nothing to be left', everyMs: 200 }).catch(() => {})
    return left
  }

  test.for([['OpenCode', DIRECTIVES, 'opencode'], ['a plain command', SHELL, 'shell']] as const)('containers with %s', { timeout: TIMEOUT_MS }, async ([, dialect, profile]) => {
    const sockets = await openSockets()
    const backend = createDockerMode({ deployment, engine, image, storage, model, modelOnHost: origin, profiles: { shell: { driver: 'command', image, command: ['sh', '-s'], env: {} } }, log: SILENT })
    await cycles(backend, dialect, profile)
    await backend.close()
    expect(await whatStays(sockets)).toEqual([])
  })

  test('supervised servers', async () => {
    const sockets = await openSockets()
    const backend = await createOpencodeMode({ deployment, storage, model, path: process.env['PATH'] ?? '', log: SILENT })
    await cycles(backend, DIRECTIVES, 'opencode')
    await backend.close()
    expect(await whatStays(sockets)).toEqual([])
  }, TIMEOUT_MS)

  test('sessions on a shared server', async () => {
    const sockets = await openSockets()
    const server = await startOpencodeServer(storage, model)
    const backend = await createOpencodeMode({ deployment, storage, model, server, path: '', log: SILENT })
    await cycles(backend, DIRECTIVES, 'opencode')
    await backend.close()
    expect(await allSessions({ url: server.url, username: 'opencode', password: server.password })).toEqual([])
    await server.stop()
    await rm(join(storage.root, 'the-server'), { recursive: true, force: true }) // the server's own home
    expect(await whatStays(sockets)).toEqual([])
  }, TIMEOUT_MS)
})
