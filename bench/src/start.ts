import { join } from 'node:path'
import process from 'node:process'

import { createDockerMode, createOpencodeMode, openStorage } from '@longshore/backends'
import { type Backend, DeploymentId, type Mode, SILENT } from '@longshore/contracts'
import { createDoorbell, createLedger } from '@longshore/ledger'
import { createTicketProducer } from '@longshore/queue'
import { connectRedis, createMetrics } from '@longshore/runtime'
import { scriptedProviderConfig } from '@longshore/testkit'
import { createWorker } from '@longshore/worker'

import { type Deck, onDeck } from './deck.ts'
import { percentile, type Result } from './figures.ts'

const MODES = ['docker', 'opencode'] as const
const deployment = DeploymentId.parse('bench')

/** Unix ms of what happens between the claim and the agent's first question to its model. */
interface Marks { handed: number; handles: number[] }

const PARTS = ['claimed → backend', 'workspace, place started', 'server healthy, session made', 'prompt → first model call'] as const

/**
 * From the claim (`task.started`) to the agent's first model call, one task at a time, and what the time goes into.
 * @param rounds tasks per mode
 */
export function benchStart(rounds: number): Promise<Result> {
  return onDeck(async (deck) => {
    const marks: Marks = { handed: 0, handles: [] }
    const worker = await workerWith(deck, marks)
    try {
      const spans: Record<Mode, number[][]> = { docker: [], opencode: [] }
      for (let round = -1; round < rounds; round++) {
        for (const mode of MODES) {
          const found = await startOnce(deck, mode, marks)
          if (round >= 0) spans[mode].push(found)
        }
      }
      return { name: 'start: from the claim to the first model call', rounds, rows: MODES.flatMap((mode) => rowsOf(mode, spans[mode])) }
    } finally {
      await worker.stop()
    }
  })
}

function rowsOf(mode: Mode, spans: number[][]) {
  const totals = spans.map((parts) => parts.reduce((sum, part) => sum + part, 0))
  return [
    { what: `${mode}, claimed → first model call, p50`, value: percentile(totals, 50), unit: 'ms', aim: '< 4,000' },
    { what: `${mode}, the same, p99`, value: percentile(totals, 99), unit: 'ms' },
    ...PARTS.map((part, index) => ({ what: `${mode}, of it: ${part}, p50`, value: percentile(spans.map((parts) => parts[index] ?? Number.NaN), 50), unit: 'ms' })),
  ]
}

async function startOnce(deck: Deck, mode: Mode, marks: Marks): Promise<number[]> {
  marks.handles = []
  const before = deck.provider.requests()
  const task = await deck.submit('[[say done]]', mode)
  const calledAt = await new Promise<number>((resolve) => {
    const timer = setInterval(() => {
      if (deck.provider.requests() === before) return
      clearInterval(timer)
      resolve(Date.now())
    }, 2)
  })
  const { at } = await task.event('task.started')
  await task.event('task.completed')
  const [, placed = Number.NaN, session = Number.NaN] = marks.handles
  return [marks.handed - at, placed - marks.handed, session - placed, calledAt - session]
}

async function workerWith(deck: Deck, marks: Marks) {
  const redis = connectRedis(deck.redisUrl, 'background', SILENT)
  const bells = connectRedis(deck.redisUrl, 'background', SILENT)
  const storage = await openStorage(join(deck.home, 'workspaces'))
  const model = { config: scriptedProviderConfig(deck.provider.url, deck.providerToken), env: {} }
  const backends = [
    createDockerMode({ deployment, engine: deck.engine.host, storage, image: deck.engine.image, model, modelOnHost: new URL(deck.provider.url).origin, log: SILENT }),
    await createOpencodeMode({ deployment, storage, model, path: process.env['PATH'] ?? '', log: SILENT }),
  ].map((backend) => marked(backend, marks))
  const producer = createTicketProducer({ redisUrl: deck.redisUrl, deployment, log: SILENT })
  const worker = await createWorker({
    redis, deployment, log: SILENT, name: 'bench-start', host: 'bench', version: '0', registry: createMetrics('worker'), backends, storageId: storage.id,
    ledger: createLedger({ redis, deployment, log: SILENT }), doorbell: createDoorbell(bells, deployment), producer,
    settings: { concurrency: 1, lockMs: 5_000, stalledIntervalMs: 1_000, drainGraceMs: 0, retryDelayMs: 1_000 },
  })
  return {
    stop: async () => {
      await worker.stop()
      await producer.close()
      for (const connection of [redis, bells]) connection.disconnect()
    },
  }
}

function marked(backend: Backend, marks: Marks): Backend {
  return {
    ...backend,
    start: (task, run) => {
      marks.handed = Date.now()
      return backend.start(task, { ...run, onHandle: async (handle) => {
        await run.onHandle(handle)
        marks.handles.push(Date.now())
      } })
    },
  }
}
