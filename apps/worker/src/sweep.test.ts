import { describeNeeding, engineHost, engineSocket, runnerImage, sharedRedisUrl, waitFor } from '@longshore/testkit'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { createDockerMode, openStorage } from '@longshore/backends'
import { type Backend, type Handle, type Log, SILENT, type Task } from '@longshore/contracts'
import type { Ledger } from '@longshore/ledger'

import { markFileOf, whyNotOurs } from './ledger-mark.ts'
import { createSweeper, isOlder, isOrphan, type SweeperOptions } from './sweep.ts'
import { createShellBackend } from './testing/shell-backend.ts'
import { startStack, type TestStack } from './testing/stack.ts'

const at = (engine?: string, container = `on ${engine}`): Handle => ({ v: 1, mode: 'docker', data: { container }, ...(engine === undefined ? {} : { engine_id: engine }) })
test.each<[string, Parameters<typeof isOrphan>[1], boolean]>([
  ['an unknown task', undefined, true],
  ['one that waits', { state: 'queued' }, false],
  ['one that runs here, under whatever claim', { state: 'running', handle: at('E1') }, false],
  ['one that runs nobody knows where', { state: 'running', handle: at() }, false],
  ['one that runs on another engine by now', { state: 'running', handle: at('E2') }, true],
  ['one whose engine has another name by now', { state: 'running', handle: at('E2', 'on E1') }, false],
  ['one that waits for another engine', { state: 'queued', handle: at('E2') }, true],
  ['one that is paused', { state: 'paused' }, false],
  ['one that is just being ended', { state: 'completed', ended_at: 90_000 }, false],
  ['one that is over', { state: 'completed', ended_at: 80_000 }, true],
])('G10: what is left of %s', (_what, task, is) => {
  expect(isOrphan({ handle: at('E1') }, task, 100_000)).toBe(is)
})

test('G10: what was made before the ledger is older than it', () => {
  expect([999, 1_000].map((createdAt) => isOlder({ createdAt }, { createdAt: 1_000 }))).toEqual([true, false])
})

let folder: string
let stacks: TestStack[] = []
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'longshore-sweep-'))
})
afterEach(async () => {
  for (const stack of stacks.splice(0)) await stack.stop()
  await rm(folder, { recursive: true, force: true })
})
async function aStack(): Promise<TestStack> {
  const stack = await startStack(sharedRedisUrl())
  stacks.push(stack)
  return stack
}

test('G10: a storage belongs to the first ledger that marks it, and to no other', async () => {
  const file = join(folder, markFileOf('a'))
  expect(await whyNotOurs(file, { id: 'one', createdAt: 1 })).toBeUndefined()
  expect(await whyNotOurs(file, { id: 'one', createdAt: 1 })).toBeUndefined()
  expect(await whyNotOurs(file, { id: 'two', createdAt: 2 })).toContain('names another ledger than this Redis holds (one, not two)')
  expect(await readFile(file, 'utf8')).toBe('one\n')
})

/** A log whose lines can be looked at. */
function listening(): { log: Log; lines: string[] } {
  const lines: string[] = []
  const note = (fields: object, message: string) => void lines.push(`${message} ${JSON.stringify(fields)}`)
  return { lines, log: { ...SILENT, info: note, warn: note } }
}

describeNeeding('docker', 'G10, L-18: a sweep of a real engine', () => {
  let ours: TestStack
  let endings: (() => Promise<unknown>)[] = []
  beforeEach(async () => {
    ours = await aStack()
  })
  afterEach(async () => {
    for (const ending of endings.toReversed()) await ending()
    endings = []
  })

  async function backendOf(deployment: string): Promise<Backend> {
    const image = await runnerImage()
    const command = { driver: 'command', image, command: ['sh', '-s'], env: {} } as const
    const backend = createDockerMode({ deployment, engine: await engineHost(), storage: await openStorage(folder), image, model: { config: {}, env: {} }, profiles: { opencode: command }, log: SILENT })
    endings.push(() => backend.close())
    return backend
  }
  /** A container of this task that nobody watches. */
  async function leave(backend: Backend, task: Task, claim = 1): Promise<void> {
    const letGo = new AbortController()
    const run = { claim, deadlineAt: Date.now() + 300_000, signal: letGo.signal, log: SILENT, onHandle: () => Promise.resolve(), emit: () => Promise.resolve(), onAsks: () => Promise.resolve(), confirmClaim: () => Promise.resolve() }
    const { handle } = await backend.start(task, run)
    letGo.abort()
    endings.push(() => backend.dispose(handle, run))
  }
  const foundBy = async (backend: Backend) => (await backend.list()).map(({ taskId }) => taskId).toSorted()
  /** A round half a minute from now: no end is being made any more. */
  async function sweep(backend: Backend, more: Partial<SweeperOptions> = {}): Promise<{ swept: number; lines: string[] }> {
    const { log, lines } = listening()
    let swept = 0
    const options: SweeperOptions = { ledger: ours.ledger, backends: [backend], now: () => Date.now() + 30_000, markFile: join(folder, markFileOf(ours.deployment)), isDryRun: false, onSwept: (_mode, count) => { swept += count }, log, ...more }
    const round = createSweeper(options)
    for (let i = 0; i < 2; i++) await round(AbortSignal.timeout(120_000))
    return { swept, lines }
  }

  test('removes what is left of unknown and ended tasks; a live task\'s container stays under any claim, and so do another deployment\'s and somebody else\'s', async () => {
    const theirs = await aStack()
    const { createdAt } = await ours.ledger.identity()
    // An engine tells whole seconds: what it makes in the second in which the ledger began counts as older.
    await waitFor(() => Date.now() >= createdAt + 1_000, { what: 'the next second' })
    const [backend, foreign] = [await backendOf(ours.deployment), await backendOf(theirs.deployment)]
    const [live, over, unknown] = [await ours.submit('sleep 300'), await ours.submit('sleep 300'), await theirs.submit('sleep 300')]
    await ours.ledger.cancel(over.id, 'test')
    await leave(backend, live)
    await leave(backend, live, 7)
    await leave(backend, over)
    await leave(backend, unknown)
    await leave(foreign, unknown)
    const stranger = await aContainer(await runnerImage())
    endings.push(stranger.remove)

    const dry = await sweep(backend, { isDryRun: true })
    expect(dry.swept).toBe(0)
    expect(dry.lines.filter((line) => line.startsWith('would sweep')).length).toBe(4)
    expect(dry.lines).toContain('swept {"mode":"docker","looked_at":4,"orphans":2,"removed":0,"dry_run":true}')
    expect(await foundBy(backend)).toEqual([live.id, live.id, over.id, unknown.id].toSorted())

    const { swept, lines } = await sweep(backend)
    expect(swept).toBe(2)
    expect(lines).toEqual(['swept {"mode":"docker","looked_at":4,"orphans":2,"removed":2,"dry_run":false}'])
    expect(await foundBy(backend)).toEqual([live.id, live.id])
    expect(await foundBy(foreign)).toEqual([unknown.id])
    expect(await stranger.isRunning()).toBe(true)
  }, 180_000)

  test('leaves alone what is older than the ledger, and everything on a storage of another ledger, and says so once', async () => {
    const theirs = await aStack()
    const backend = await backendOf(ours.deployment)
    const unknown = await theirs.submit('sleep 300')
    await leave(backend, unknown)
    const { id } = await ours.ledger.identity()
    const younger: Pick<Ledger, 'get' | 'identity'> = { get: ours.ledger.get, identity: () => Promise.resolve({ id, createdAt: Date.now() + 60_000 }) }
    expect(await sweep(backend, { ledger: younger })).toEqual({ swept: 0, lines: ['executions that are older than this ledger are left alone {"mode":"docker","count":1}'] })
    await writeFile(join(folder, markFileOf(ours.deployment)), 'another\n')
    const { swept, lines } = await sweep(backend)
    expect(swept).toBe(0)
    expect(lines).toEqual([expect.stringMatching(/^nothing is swept: .* names another ledger than this Redis holds/)])
    expect(await foundBy(backend)).toEqual([unknown.id])
  }, 180_000)
})

describe('G10: a sweep', () => {
  test('ends what a task left on the engine that it moved away from, and not what it has on the other', async () => {
    const stack = await aStack()
    await stack.ledger.identity()
    const first = await stack.workerProcess('first', { engineId: 'E1', storageId: 'S' })
    const task = await stack.submit('sleep 300')
    await stack.until(task.id, 'running')
    const pid = await waitFor(() => pidOf(stack, task.id), { what: 'its process' })
    first.kill('SIGKILL')
    const there = createShellBackend('docker', stack.root, { engineId: 'E1', storageId: 'S' })
    const sweep = createSweeper({ ledger: stack.ledger, backends: [there], now: Date.now, markFile: join(folder, 'mark'), isDryRun: false, onSwept: () => undefined, log: SILENT })
    await sweep(AbortSignal.timeout(120_000))
    expect(await isAlive(pid)).toBe(true)
    // What a worker of the other engine does once nobody speaks for the first one any more.
    const take = await stack.ledger.take({ task_id: task.id, n: 1 }, 'second', 'process', { engineId: 'E2', anywhere: true })
    if (take.kind !== 'taken') throw new Error(JSON.stringify(take))
    await stack.ledger.saveHandle({ taskId: task.id, claim: take.task.claim }, at('E2'))
    await sweep(AbortSignal.timeout(120_000))
    expect(await isAlive(pid)).toBe(false)
    expect(await stack.get(task.id)).toMatchObject({ state: 'running', handle: at('E2') })
  })

  test('judges nothing by a record that it cannot read, nor by a Redis that is away', async () => {
    const stack = await aStack()
    const removed: string[] = []
    const backend = { mode: 'docker', list: () => Promise.resolve([{ taskId: `task-${'0'.repeat(26)}`, createdAt: Date.now() + 1_000, handle: { v: 1, mode: 'docker', data: {} } }]), dispose: ({ mode }: { mode: string }) => Promise.resolve(void removed.push(mode)) } as unknown as Backend
    const unreadable: Pick<Ledger, 'get' | 'identity'> = { identity: stack.ledger.identity, get: () => Promise.reject(new Error('a newer record')) }
    const round = createSweeper({ ledger: unreadable, backends: [backend], now: Date.now, markFile: join(folder, 'mark'), isDryRun: false, onSwept: () => undefined, log: SILENT })
    await round(AbortSignal.timeout(120_000))
    expect(removed).toEqual([])
  })
})

async function pidOf(stack: TestStack, id: Task['id']): Promise<number> {
  return Number(await readFile(join(String((await stack.get(id)).handle?.data['dir']), 'pid'), 'utf8'))
}

/** Not one that only waits for its parent to take note: who inherits it here may never do so. */
async function isAlive(pid: number): Promise<boolean> {
  const state = /^State:\t(\w)/m.exec(await readFile(`/proc/${pid}/status`, 'utf8').catch(() => ''))?.[1]
  return state !== undefined && state !== 'Z'
}

/** Somebody else's container beside ours, as the engine's own API makes it. */
async function aContainer(image: string): Promise<{ isRunning(): Promise<boolean>; remove(): Promise<unknown> }> {
  const { Id: id } = JSON.parse(await ask('POST', '/containers/create', { Image: image, Entrypoint: [], Cmd: ['sleep', '300'], Labels: { 'longshore.task': 'not ours' } })) as { Id: string }
  await ask('POST', `/containers/${id}/start`)
  return {
    isRunning: async () => (JSON.parse(await ask('GET', `/containers/${id}/json`)) as { State: { Running: boolean } }).State.Running,
    remove: () => ask('DELETE', `/containers/${id}?force=1&v=1`),
  }
}

async function ask(method: string, path: string, body?: object): Promise<string> {
  const socketPath = await engineSocket()
  return new Promise((resolve, reject) => {
    const call = request({ socketPath, method, path, headers: { 'content-type': 'application/json' } }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (part: string) => { text += part }).on('end', () => (response.statusCode ?? 500) < 400 ? resolve(text) : reject(new Error(text)))
    })
    call.once('error', reject).end(body === undefined ? undefined : JSON.stringify(body))
  })
}
