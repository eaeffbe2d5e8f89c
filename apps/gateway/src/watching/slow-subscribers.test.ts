import { SILENT, TaskId } from '@longshore/contracts'
import { waitFor } from '@longshore/testkit'
import { expect, test } from 'vitest'

import type { Call } from '../operations/operation.ts'
import { createHub } from './hub.ts'
import { createListenStreams, type Line } from './mcp-listen.ts'
import { openUpdates } from './old-stream.ts'
import type { LiveDeps } from './serve-live.ts'
import { taskUri } from './task-uri.ts'

const id = TaskId.parse(`task-${'a'.repeat(26)}`)
const call = { caller: { keyId: 'k', agentId: 'a', isOperator: false, scopes: [] }, agentIdHeader: undefined, signal: new AbortController().signal } as unknown as Call

/** A log that always has more, and a client that takes nothing until it is told to. */
function world() {
  const seen = { pages: 0 }
  let takeOn: () => void = () => undefined
  const isTaken = new Promise<void>((resolve) => { takeOn = resolve })
  const line: Line = { recheck: async () => undefined, end: () => undefined, room: () => isTaken }
  const hub = createHub({ maxPerAgent: 9, max: 9, heartbeatMs: 60_000, log: SILENT })
  const page = async (cursor: string) => {
    await new Promise((resolve) => setImmediate(resolve))
    seen.pages += 1
    return { bytes: Buffer.from('x'), cursor, isMore: true, isLast: seen.pages >= 50 }
  }
  const live: LiveDeps = { hub, join: () => ({ generation: () => 0, page, leave: () => undefined }), stallMs: 1_000, random: () => 0, log: SILENT }
  return { seen, takeOn, line, live, hub }
}

const open = {
  '1.x': ({ line, live }: ReturnType<typeof world>) => openUpdates({ keyId: 'k', session: 's' }, call, line, {
    live, pollMs: 60_000, log: SILENT, doorbell: { listen: async () => ({ next: () => new Promise<void>(() => undefined), close: async () => undefined }) },
    subscriptions: { topic: () => 't', list: async () => new Map([[taskUri(id), '0']]), add: async () => true, remove: async () => undefined, forget: async () => undefined },
  }),
  '2026-07-28': async ({ line, live }: ReturnType<typeof world>) => {
    const streams = createListenStreams(live)
    const body = { jsonrpc: '2.0', id: 1, method: 'subscriptions/listen', params: { notifications: { resourceSubscriptions: [taskUri(id)] } } }
    return streams.serve(body, call, line, async () => ({ kind: 'live', topic: id, cursor: '0' }), async () => {
      streams.bus.subscribe(() => undefined)
      return new Response()
    })
  },
}

test.each(['1.x', '2026-07-28'] as const)('a subscriber that is behind is told no more until it has taken what it was told (%s)', async (era) => {
  const it = world()
  await open[era](it)
  await waitFor(() => it.seen.pages > 0, { what: 'the first page' })
  for (let i = 0; i < 200; i++) await new Promise((resolve) => setImmediate(resolve))
  expect(it.seen.pages).toBe(1)
  it.takeOn()
  await waitFor(() => it.seen.pages === 50, { what: 'the rest' })
  it.hub.stop()
})
