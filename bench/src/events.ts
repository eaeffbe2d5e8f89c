import { startRedis } from '@longshore/testkit'
import { Redis } from 'ioredis'

import { crowdOfReaders } from './events/crowd-of-readers.ts'
import { appendAlone, barePublish, bareStream, throughGateway, type Way } from './events/latency-of.ts'
import { DEPLOYMENT } from './events/log-writer.ts'
import { longLog } from './events/long-log.ts'
import { subscribeMcp, subscribeSse } from './events/subscribers.ts'
import { throughMatrix } from './events/through-matrix.ts'
import { median, percentile, type Result, type Row } from './figures.ts'
import { startGateway } from './gateway-process.ts'

const READERS = 1_000
const READERS_EVENTS = 200
const NOTICES = 100
const LONG_LOG = 1_000_000

/**
 * From the call that appends an event to whoever follows its task, one at a time, beside a bare PUBLISH and a bare XADD + XREAD; from a task's end to Matrix; a thousand
 * subscribers on one gateway; reading in a log of a million events.
 * @param count events a round and way
 */
export async function benchEvents(rounds: number, count: number): Promise<Result> {
  const server = await startRedis({ aof: 'always' })
  const connections = Array.from({ length: 3 }, () => new Redis(server.url))
  const [writer, listener, reader] = connections as [Redis, Redis, Redis]
  const gateway = await startGateway(server.url, DEPLOYMENT, { EVENTS_MAX_STREAMS_PER_AGENT: String(2 * READERS) })
  try {
    const ways: Way[] = [
      await barePublish(writer, listener), bareStream(writer, reader), await appendAlone(writer),
      await throughGateway('append → SSE subscriber', '≤ 2', writer, (taskId, onNews) => subscribeSse(gateway.url, gateway.key, taskId, onNews)),
      await throughGateway('append → MCP subscriber', '', writer, (taskId, onNews) => subscribeMcp(gateway.url, gateway.key, taskId, onNews)),
    ]
    const latencies = await inTurns(ways, rounds, count)
    for (const way of ways) way.close()
    const matrix = await throughMatrix(writer, server.url, NOTICES)
    const crowd = await crowdOfReaders(gateway, writer, READERS, READERS_EVENTS)
    const long = await longLog(writer, LONG_LOG)
    return { name: `events: ${count} a round and way, one at a time`, rounds, rows: [...latencies, ...matrix, ...crowd, ...long] }
  } finally {
    await gateway.stop()
    for (const connection of connections) connection.disconnect()
    await server.stop()
  }
}

/** Round by round, way by way; the first round is not counted. */
async function inTurns(ways: readonly Way[], rounds: number, count: number): Promise<Row[]> {
  const figures: Record<50 | 99, number[]>[] = ways.map(() => ({ 50: [], 99: [] }))
  for (let round = -1; round < rounds; round++) {
    for (const [i, way] of ways.entries()) {
      const samples: number[] = []
      for (let n = 0; n < count; n++) samples.push(await way.once())
      if (round >= 0) for (const p of [50, 99] as const) figures[i]?.[p].push(percentile(samples, p))
    }
  }
  return ([50, 99] as const).flatMap((p) => {
    const of = (i: number) => figures[i]?.[p] ?? []
    const ratio = (i: number, to: number) => median(of(i).map((value, round) => value / (of(to)[round] ?? Number.NaN)))
    const times: Row[] = ways.map(({ what }, i) => ({ what: `${what}, p${p}`, value: median(of(i)), unit: 'ms' }))
    const ratios = ways.flatMap(({ what, aim }, i) => (aim === undefined || aim === '' ? [] : BARE.map((to): Row => ({ what: `${what} ÷ ${ways[to]?.what}, p${p}`, value: ratio(i, to), unit: '×', aim }))))
    return times.concat(ratios)
  })
}

/** Which ways the others are held against. */
const BARE = [0, 1]
