import { randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { lstat, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { openStorage, prepareWorkspace, type Workspace, workspaceOf } from '@longshore/backends'
import { NewTask, SILENT, type TaskId, taskIdFrom } from '@longshore/contracts'
import { createLedger } from '@longshore/ledger'
import { startRedis, waitFor } from '@longshore/testkit'
import { Redis } from 'ioredis'

import { median, type Result, type Row } from './figures.ts'
import { type GatewayProcess, startGateway } from './gateway-process.ts'
import { rssMb } from './process-figures.ts'
import { startWorkerProcess } from './worker-process.ts'

const FILE_BYTES = 100 * 1024 * 1024
const SLICE_BYTES = 1024 * 1024
const PAGE = 2_000
const PER_FOLDER = 100
const SAMPLE_EVERY_MS = 50

/**
 * One file of 100 MB in slices (JSON) and in the archive (a stream), and `count` files page by page, of a task that runs: through gateway and worker
 * as they ship, and directly from the disk, in turn.
 */
export async function benchFiles(rounds: number, count: number): Promise<Result> {
  const home = await mkdtemp(join(tmpdir(), 'longshore-bench-files-'))
  const redis = await startRedis({ aof: 'everysec' })
  const stops: (() => Promise<void>)[] = [() => redis.stop(), () => rm(home, { recursive: true, force: true })]
  try {
    const { workspace, id } = await fill(redis.url, home, count)
    const env = { LONGSHORE_HOME: home, NODE_COMPILE_CACHE: join(tmpdir(), 'longshore-bench-cache') }
    const worker = await startWorkerProcess({ ...env, HOME: home, REDIS_URL: redis.url, WORKER_MODES: 'opencode' })
    stops.unshift(worker.stop)
    const gateway = await startGateway(redis.url, 'bench', env)
    stops.unshift(gateway.stop)
    await waitFor(async () => (await gateway.get(`/api/tasks/${id}/files?limit=1`)).ok, { what: 'the worker to be announced', timeoutMs: 20_000 })
    const ways = {
      'read 100 MB': { direct: () => readDirect(join(workspace.repo, 'large')), ours: () => readSlices(gateway, id) },
      'archive (100 MB and the files)': { direct: () => readDirect(join(workspace.repo, 'large')), ours: () => drain(gateway.get(`/api/tasks/${id}/archive`)) },
      [`list ${count.toLocaleString('en')} files`]: { direct: () => listDirect(workspace.repo), ours: () => listPages(gateway, id) },
    }
    const rows: Row[] = []
    for (const [what, way] of Object.entries(ways)) rows.push(...await measure(what, way, rounds, [['gateway', gateway.pid], ['worker', worker.pid]]))
    return { name: `files: of a task with a file of 100 MB and ${count.toLocaleString('en')} small ones`, rounds, rows }
  } finally {
    for (const stop of stops) await stop()
  }
}

async function fill(redisUrl: string, home: string, count: number): Promise<{ workspace: Workspace; id: TaskId }> {
  const redis = new Redis(redisUrl)
  const ledger = createLedger({ redis, deployment: 'bench', log: SILENT })
  const storage = await openStorage(join(home, 'workspaces'))
  const id = taskIdFrom(randomBytes(52))
  await ledger.submit(NewTask.parse({ id, agent_id: 'agent-bench', prompt: 'x', title: 'x', mode: 'docker' }))
  const take = await ledger.take({ task_id: id, n: 1 }, 'bench')
  if (take.kind !== 'taken') throw new Error(take.reason)
  await ledger.saveHandle({ taskId: id, claim: take.task.claim }, { v: 1, mode: 'docker', storage_id: storage.id, data: {} })
  redis.disconnect()
  const workspace = workspaceOf(storage, id)
  await prepareWorkspace(workspace)
  await writeFile(join(workspace.repo, 'large'), 'sixteen letters\n'.repeat(FILE_BYTES / 16))
  for (let i = 0; i < count; i++) {
    const folder = join(workspace.repo, `folder-${Math.floor(i / PER_FOLDER)}`)
    if (i % PER_FOLDER === 0) await mkdir(folder)
    await writeFile(join(folder, `file-${i}`), `${i}\n`)
  }
  return { workspace, id }
}

async function measure(what: string, { direct, ours }: { direct(): Promise<void>; ours(): Promise<void> }, rounds: number, processes: readonly (readonly [string, number])[]): Promise<Row[]> {
  await ours()
  const [pairs, grown] = [[] as { direct: number; ours: number }[], processes.map(() => [] as number[])]
  for (let round = 0; round < rounds; round++) {
    const alone = await timed(direct)
    const before = await Promise.all(processes.map(([, pid]) => rssMb(pid)))
    const most = [...before]
    const sampler = setInterval(() => void Promise.all(processes.map(async ([, pid], i) => { most[i] = Math.max(most[i] ?? 0, await rssMb(pid)) })), SAMPLE_EVERY_MS)
    const through = await timed(ours).finally(() => clearInterval(sampler))
    pairs.push({ direct: alone, ours: through })
    grown.forEach((values, i) => values.push((most[i] ?? 0) - (before[i] ?? 0)))
  }
  return [
    { what: `${what}, from the disk`, value: median(pairs.map((pair) => pair.direct)), unit: 'ms' },
    { what: `${what}, through us`, value: median(pairs.map((pair) => pair.ours)), unit: 'ms' },
    ...processes.map(([name], i) => ({ what: `${what}, memory that the ${name} took meanwhile`, value: median(grown[i] ?? []), unit: 'MB', aim: 'flat: < 50' })),
  ]
}

async function timed(work: () => Promise<void>): Promise<number> {
  const began = performance.now()
  await work()
  return performance.now() - began
}

async function readDirect(path: string): Promise<void> {
  let bytes = 0
  for await (const piece of createReadStream(path, { highWaterMark: SLICE_BYTES }) as AsyncIterable<Buffer>) bytes += piece.length
  if (bytes !== FILE_BYTES) throw new Error(`${bytes} bytes were read`)
}

async function readSlices(gateway: GatewayProcess, id: TaskId): Promise<void> {
  for (let offset = 0; offset < FILE_BYTES;) {
    const { bytes } = await (await gateway.get(`/api/tasks/${id}/file?file_path=large&offset=${offset}&limit=${SLICE_BYTES}`)).json() as { bytes: number }
    if (!(bytes > 0)) throw new Error(`nothing was read at ${offset}`)
    offset += bytes
  }
}

async function drain(answer: Promise<Response>): Promise<void> {
  const { ok, body } = await answer
  let bytes = 0
  for await (const piece of body ?? []) bytes += (piece as Uint8Array).length
  if (!ok || bytes === 0) throw new Error('the archive is empty')
}

async function listDirect(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory() && entry.name !== '.git') await listDirect(path)
    else await lstat(path)
  }
}

async function listPages(gateway: GatewayProcess, id: TaskId): Promise<void> {
  for (let cursor: string | undefined = ''; cursor !== undefined;) {
    const page = await (await gateway.get(`/api/tasks/${id}/files?limit=${PAGE}${cursor === '' ? '' : `&cursor=${cursor}`}`)).json() as { files?: unknown[]; next_cursor?: string }
    if (page.files === undefined) throw new Error(JSON.stringify(page).slice(0, 300))
    cursor = page.next_cursor
  }
}
