import { createScriptedBackend } from '@longshore/backends'
import { type Backend, DeploymentId } from '@longshore/contracts'
import { createDoorbell, createLedger } from '@longshore/ledger'
import { createTicketProducer } from '@longshore/queue'
import { connectRedis, createLogger, createMetrics } from '@longshore/runtime'
import { createWorker } from '@longshore/worker'
import process from 'node:process'

import { whenIdle } from './when-idle.ts'

// The worker as it ships, around a backend that is over at once; tells its parent when each task started, if asked to.
const redisUrl = process.env['BENCH_REDIS_URL'] ?? ''
const deployment = DeploymentId.parse('bench')
const log = createLogger({ app: 'worker', level: 'warn', format: 'json' })
const redis = connectRedis(redisUrl, 'background', log)
let tellsStarts = false

const scripted = createScriptedBackend({ mode: 'docker' })
const backend: Backend = {
  ...scripted,
  start: (task, run) => {
    const startedAt = performance.timeOrigin + performance.now()
    if (tellsStarts) void whenIdle(() => worker.status().running > 0).then(() => process.send?.(startedAt))
    return scripted.start(task, run)
  },
}
const worker = await createWorker({
  redis, deployment, log, name: `bench-${process.pid}`, host: 'bench', version: '0', registry: createMetrics('worker'), backends: [backend],
  ledger: createLedger({ redis, deployment, log }),
  doorbell: createDoorbell(connectRedis(redisUrl, 'background', log), deployment),
  producer: createTicketProducer({ redisUrl, deployment, log }),
  settings: { concurrency: Number(process.env['BENCH_CONCURRENCY'] ?? 1), lockMs: 5_000, stalledIntervalMs: 1_000, drainGraceMs: 0, retryDelayMs: 1_000 },
})
process.on('message', (message: { tellsStarts?: boolean }) => {
  tellsStarts = message.tellsStarts ?? false
})
process.on('SIGTERM', () => void worker.stop().finally(() => process.exit(0)))
process.send?.('ready')
