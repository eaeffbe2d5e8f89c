import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

import { type MatrixUser, startSynapse, waitFor } from '@longshore/testkit'
import type { Redis } from 'ioredis'
import { z } from 'zod'

import { percentile, type Row } from '../figures.ts'
import { DEPLOYMENT, openLog } from './log-writer.ts'

const MAIN = fileURLToPath(new URL('../../../apps/notifier/src/main.ts', import.meta.url))
const Message = z.looseObject({ content: z.looseObject({ 'dev.longshore.task': z.looseObject({ task_id: z.string(), kind: z.string() }).optional() }) })
const Sync = z.looseObject({ next_batch: z.string(), rooms: z.looseObject({ join: z.record(z.string(), z.looseObject({ timeline: z.looseObject({ events: z.array(Message) }) })).optional() }).optional() })

/** From the call that ends a task to its completion in the answer of a homeserver's `/sync`: a real Synapse without rate limits, one notifier, one ending at a time. */
export async function throughMatrix(writer: Redis, redisUrl: string, count: number): Promise<Row[]> {
  const synapse = await startSynapse()
  const bot = await synapse.registerUser('bench')
  const notifier = spawn(process.execPath, [MAIN], {
    env: {
      ...process.env, REDIS_URL: redisUrl, LONGSHORE_DEPLOYMENT: DEPLOYMENT, LOG_LEVEL: 'warn', NOTIFIER_HEALTH_PORT: '0', MATRIX_ENABLED: 'true',
      MATRIX_HOMESERVER_URL: synapse.baseUrl, MATRIX_ACCESS_TOKEN: bot.accessToken, MATRIX_USER_ID: bot.userId,
    },
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  const reader = followRooms(synapse.baseUrl, bot)
  try {
    const took: number[] = []
    for (let i = 0; i < count; i++) {
      const { taskId, end } = await openLog(writer)
      await waitFor(() => reader.seen.has(`card ${taskId}`), { what: 'the card', timeoutMs: 60_000, everyMs: 5 })
      const begun = performance.now()
      await end('x'.repeat(80))
      await waitFor(() => reader.seen.has(`completion ${taskId}`), { what: 'the completion', timeoutMs: 60_000, everyMs: 1 })
      took.push((reader.seen.get(`completion ${taskId}`) ?? Number.NaN) - begun)
    }
    return ([50, 99] as const).map((p) => ({ what: `end of a task → its completion in Matrix, by /sync, p${p}`, value: percentile(took, p), unit: 'ms' }))
  } finally {
    reader.close()
    notifier.kill('SIGTERM')
    if (notifier.exitCode === null) await once(notifier, 'exit')
    await synapse.stop()
  }
}

/** Notes when each message came: `<kind> <task>` → time. */
function followRooms(baseUrl: string, { accessToken }: MatrixUser): { seen: ReadonlyMap<string, number>; close(): void } {
  const seen = new Map<string, number>()
  const stopping = new AbortController()
  const follow = async () => {
    for (let since = ''; !stopping.signal.aborted;) {
      const response = await fetch(`${baseUrl}/_matrix/client/v3/sync?timeout=10000${since}`, { headers: { authorization: `Bearer ${accessToken}` }, signal: stopping.signal })
      const { next_batch: next, rooms } = Sync.parse(await response.json())
      const at = performance.now()
      for (const { timeline } of Object.values(rooms?.join ?? {})) {
        for (const { content: { 'dev.longshore.task': task } } of timeline.events) if (task !== undefined && !seen.has(`${task.kind} ${task.task_id}`)) seen.set(`${task.kind} ${task.task_id}`, at)
      }
      since = `&since=${encodeURIComponent(next)}`
    }
  }
  follow().catch((error: unknown) => {
    if (!stopping.signal.aborted) console.error('the reader of Matrix ended', error)
  })
  return { seen, close: () => stopping.abort() }
}
