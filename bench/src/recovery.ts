import { startRedis } from '@longshore/testkit'
import { Queue } from 'bullmq'
import { Redis } from 'ioredis'

import { type Child, startChild } from './child.ts'
import { type Deck, onDeck } from './deck.ts'
import { median, type Result } from './figures.ts'
import type { WorkerProcess } from './worker-process.ts'

/** The defaults of LOCK_DURATION_MS and STALLED_INTERVAL_MS. */
const OUR_LOCKS = { lockDuration: 5_000, stalledInterval: 1_000 }

/**
 * From SIGKILL of the worker that holds a task to `task.adopted` by another; beside BullMQ's own worker, whose job is then
 * started again from its beginning. All kinds wait at the same time: they use no CPU meanwhile.
 */
export function benchRecovery(rounds: number): Promise<Result> {
  return onDeck(async (deck) => {
    const seconds: Record<'docker' | 'opencode' | 'ourLocks' | 'defaults', number[]> = { docker: [], opencode: [], ourLocks: [], defaults: [] }
    const kinds = {
      docker: () => adoption(deck, 'docker'), opencode: () => adoption(deck, 'opencode'),
      ourLocks: () => bareRecovery(OUR_LOCKS), defaults: () => bareRecovery({}),
    }
    for (let round = 0; round < rounds; round++) {
      await Promise.all((['docker', 'opencode', 'ourLocks', 'defaults'] as const).map(async (kind) => seconds[kind].push(await kinds[kind]())))
    }
    const rows = (what: string, values: number[], aim = {}) => [
      { what: `${what}, median`, value: median(values), unit: 's', ...aim }, { what: `${what}, max`, value: Math.max(...values), unit: 's', ...aim },
    ]
    return {
      name: 'recovery: from SIGKILL of a worker to its task under another', rounds, rows: [
        ...rows('docker mode, adopted', seconds.docker, { aim: '≤ 10' }), ...rows('OpenCode mode, adopted', seconds.opencode, { aim: '≤ 10' }),
        ...rows('bare BullMQ with our locks (5 s, 1 s), started over', seconds.ourLocks), ...rows('bare BullMQ with its defaults (30 s, 30 s), started over', seconds.defaults),
      ],
    }
  })
}

async function adoption(deck: Deck, mode: 'docker' | 'opencode'): Promise<number> {
  const workers = await Promise.all([deck.worker({ WORKER_MODES: mode }), deck.worker({ WORKER_MODES: mode })])
  const task = await deck.submit('[[bash echo begun]] [[hang]]', mode)
  await task.event('task.tool')
  const owner = (await deck.ledger.get(task.id))?.worker
  const holder = workers.find((worker: WorkerProcess) => worker.name === owner)
  if (holder === undefined) throw new Error(`${task.id} is held by ${owner}, which is none of ours`)
  const killedAt = Date.now()
  await holder.kill()
  const { at } = await task.event('task.adopted')
  await task.cancel()
  await task.event('task.cancelled')
  await Promise.all(workers.map((worker) => worker.stop()))
  return (at - killedAt) / 1_000
}

async function bareRecovery(locks: object): Promise<number> {
  const server = await startRedis({ aof: 'always' })
  const redis = new Redis(server.url)
  const queue = new Queue('bare', { connection: redis })
  const children: Child[] = []
  const start = async () => {
    const child = await startChild('hanging-worker.ts', { BENCH_REDIS_URL: server.url, BENCH_LOCK: JSON.stringify(locks) })
    children.push(child)
    return child
  }
  try {
    const first = await start()
    const began = first.heard()
    await queue.add('a job', {})
    await began
    const second = await start()
    const startedAgain = second.heard()
    const killedAt = Date.now()
    process.kill(first.pid, 'SIGKILL')
    return (Number(await startedAgain) - killedAt) / 1_000
  } finally {
    for (const { pid } of children) killIfThere(pid)
    await queue.close()
    redis.disconnect()
    await server.stop()
  }
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // Gone already.
  }
}
