import { randomBytes } from 'node:crypto'

import { NewTask, SILENT, taskIdFrom } from '@longshore/contracts'
import { createLedger, type Ledger, type TaskFilter } from '@longshore/ledger'
import { startRedis } from '@longshore/testkit'
import { Redis } from 'ioredis'

import { median, type Result } from './figures.ts'
import { inParallel } from './in-parallel.ts'

const WIDTH = 64
const PAGE = 50
const CALLS = 20
const AGENTS = 50

/**
 * Pages of a search among many tasks: the first page, and one near the oldest; by each way that a search can take. The gateway's part (key, input, output) is not in it.
 * @param rounds of `CALLS` calls each
 * @param count tasks
 */
export async function benchSearch(rounds: number, count: number): Promise<Result> {
  const server = await startRedis({ aof: 'everysec' })
  const redis = new Redis(server.url)
  const ledger = createLedger({ redis, deployment: 'bench', log: SILENT })
  try {
    await fill(ledger, count)
    const first = (await ledger.list({ limit: 1, offset: count - 100 }))[0]
    const { next: late } = await ledger.search({ createdBefore: (first?.created_at ?? 0) + 1 }, { limit: 1 })
    const searches: [what: string, filter: TaskFilter, cursor?: string | undefined][] = [
      ['page at the start', {}], ['page at the end', {}, late],
      ['one agent, at the start', { agentId: 'agent-7' }], ['one agent, at the end', { agentId: 'agent-7' }, late],
      ['the few that were cancelled', { states: ['cancelled'] }],
      ['few titles begin so', { titlePrefix: 'RARE' }], ['every second title begins so', { titlePrefix: 'common' }], ['every second, at the end', { titlePrefix: 'common' }, late],
    ]
    const times = new Map<string, number[]>()
    for (let round = 0; round <= rounds; round++) {
      for (const [what, filter, cursor] of searches) {
        const ms = await timed(() => ledger.search(filter, { limit: PAGE, cursor }))
        // The first round is the compiler's and the caches'.
        if (round > 0) times.set(what, [...(times.get(what) ?? []), ms])
      }
    }
    const value = (what: string) => median(times.get(what) ?? [])
    return {
      name: `search: pages of ${PAGE} among ${count.toLocaleString('en')} tasks of ${AGENTS} agents`,
      rounds,
      rows: [
        ...searches.map(([what]) => ({ what, value: value(what), unit: 'ms' })),
        { what: 'page at the end ÷ at the start', value: value('page at the end') / value('page at the start'), unit: '×', aim: '≤ 1.5' },
        { what: 'index in Redis, per task', value: await indexBytes(redis, count), unit: 'B' },
      ],
    }
  } finally {
    redis.disconnect()
    await server.stop()
  }
}

async function fill(ledger: Ledger, count: number): Promise<void> {
  let n = 0
  await inParallel(count, WIDTH, async () => {
    const i = n++
    const title = i % 1_000 === 0 ? `rare ${i}` : i % 2 === 0 ? `Common work number ${i}` : `Other work number ${i}`
    const { task } = await ledger.submit(NewTask.parse({ id: taskIdFrom(randomBytes(52)), agent_id: `agent-${i % AGENTS}`, prompt: title, title, mode: i % 3 === 0 ? 'docker' : 'opencode' }))
    if (i % 2_000 === 0) await ledger.cancel(task.id, 'bench')
  })
}

async function timed(call: () => Promise<unknown>): Promise<number> {
  const begun = performance.now()
  for (let i = 0; i < CALLS; i++) await call()
  return (performance.now() - begun) / CALLS
}

/** Of the keys that only searches read. */
async function indexBytes(redis: Redis, count: number): Promise<number> {
  const keys = (await Promise.all(['index:*', 'titles', 'ended'].map((what) => redis.keys(`{ls:bench}:${what}`)))).flat()
  const sizes = await Promise.all(keys.map((key) => redis.memory('USAGE', key, 'SAMPLES', 50)))
  return sizes.reduce<number>((sum, size) => sum + (size ?? 0), 0) / count
}
