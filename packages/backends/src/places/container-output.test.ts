import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DeploymentId, SILENT } from '@longshore/contracts'
import { describeNeeding, engineHost, runnerImage } from '@longshore/testkit'
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import { openStorage, type Storage } from '../workspace/storage.ts'
import { containerOutput } from './container-output.ts'
import { LABEL } from './container-spec.ts'
import { type Containers, createContainers } from './containers.ts'
import { connectEngine } from './engine.ts'

const DEPLOYMENT = DeploymentId.parse('container-output')
const LINES = 5_000
const SAYS_LINES = `i=0; while [ $i -lt ${LINES} ]; do i=$((i+1)); echo "line $i ä"; done`
const ALL = Array.from({ length: LINES }, (_, index) => `line ${index + 1} ä\n`).join('')

/** The engine, seen through a proxy that ends the first log behind so many bytes, as a busy engine does, or breaks it. */
async function cuttingProxy(engine: string, bytes: number, how: 'end' | 'destroy'): Promise<{ server: Server; address: string }> {
  let logs = 0
  const server = createServer((asked, answer) => {
    const { method, url: path, headers } = asked
    const onwards = request({ socketPath: engine.slice('unix://'.length), method, path, headers }, (answered) => {
      answer.writeHead(answered.statusCode ?? 502, answered.headers)
      if (!path?.includes('/logs') || ++logs > 1) return void answered.pipe(answer)
      answered.once('data', (chunk: Buffer) => answer.write(chunk.subarray(0, bytes), () => answer[how]()))
    })
    onwards.on('error', () => answer.destroy())
    asked.pipe(onwards)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return { server, address: `tcp://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

describeNeeding('docker', 'the output of a container', () => {
  let storage: Storage
  const made: string[] = []
  const closing: (() => unknown)[] = []
  const docker = async () => connectEngine(await engineHost())
  beforeAll(async () => {
    storage = await openStorage(await mkdtemp(join(tmpdir(), 'longshore-output-')))
  })
  afterEach(async () => {
    for (const close of closing.splice(0)) await close()
    for (const name of made.splice(0)) await (await docker()).getContainer(name).remove({ force: true })
  })
  afterAll(() => rm(storage.root, { recursive: true, force: true }))

  const containersAt = (engine: string): Containers => {
    const containers = createContainers({ deployment: DEPLOYMENT, engine, storage, user: { uid: 1000, gid: 1000 }, limits: { memoryBytes: 1e8, cpus: 1, pids: 64, tmpBytes: 1e6, logBytes: 1e6 }, log: SILENT })
    closing.push(() => containers.close())
    return containers
  }
  const begin = async (script: string): Promise<string> => {
    const name = `longshore-output-${randomBytes(6).toString('hex')}`
    const container = await (await docker()).createContainer({ name, Image: await runnerImage(), Entrypoint: ['sh', '-c'], Cmd: [script], Labels: { [LABEL.deployment]: DEPLOYMENT } })
    made.push(name)
    await container.start()
    return name
  }
  const read = async (containers: Containers, name: string, mark = 0): Promise<string> => {
    let text = ''
    for await (const pieces of containerOutput(containers, name, mark, { signal: new AbortController().signal, log: SILENT })) text += pieces.map((piece) => piece.text).join('')
    return text
  }

  test.for(['end', 'destroy'] as const)('is whole when the engine lets a reader go before the last of it (%s)', async (how) => {
    const name = await begin(SAYS_LINES)
    const { server, address } = await cuttingProxy(await engineHost(), 1_001, how)
    closing.push(() => server.close())
    await (await docker()).getContainer(name).wait()
    expect(await read(containersAt(address), name)).toBe(ALL)
  })

  test('is whole, and nothing comes twice, when the reader was let go while the container still ran', async () => {
    const name = await begin(`${SAYS_LINES}; sleep 2; echo end`)
    const { server, address } = await cuttingProxy(await engineHost(), 1_001, 'end')
    closing.push(() => server.close())
    expect(await read(containersAt(address), name)).toBe(`${ALL}end\n`)
  })

  test('ends at once when the signal aborts, and asks the engine nothing more', async () => {
    const [name, containers, letGo] = [await begin('echo here; sleep 600'), containersAt(await engineHost()), new AbortController()]
    const state = vi.spyOn(containers, 'state')
    for await (const pieces of containerOutput(containers, name, 0, { signal: letGo.signal, log: SILENT })) {
      expect(pieces.map((piece) => piece.text).join('')).toBe('here\n')
      letGo.abort()
    }
    expect(state).not.toHaveBeenCalled()
  })

  test('no piece lies on both sides of the mark, and a container that is gone has none', async () => {
    const [name, containers] = [await begin(SAYS_LINES), containersAt(await engineHost())]
    const mark = 8 // in the middle of the first ä
    let before = ''
    let behind = ''
    for await (const pieces of containerOutput(containers, name, mark, { signal: new AbortController().signal, log: SILENT })) {
      for (const { text, end } of pieces) if (end <= mark) before += text; else behind += text
    }
    expect([before, before + behind]).toEqual(['line 1 ', ALL])
    expect(await read(containers, 'longshore-output-nobody')).toBe('')
  })
})
