import { createScriptedBackend } from '@longshore/backends'
import { DeploymentId, SILENT } from '@longshore/contracts'
import { createDoorbell, createLedger } from '@longshore/ledger'
import { createTicketProducer } from '@longshore/queue'
import { connectRedis, createMetrics } from '@longshore/runtime'
import { createWorker } from '@longshore/worker'
import type { Stack } from './stack.ts'

/** The worker as it ships, in this process, around a backend whose tasks take a moment and no machine: for what only many tasks show. */
export async function startScriptedWorker({ redis: { url }, deployment: name }: Stack, concurrency: number, runMs: number): Promise<{ stop(): Promise<void> }> {
  const deployment = DeploymentId.parse(name)
  const [redis, bells] = [connectRedis(url, 'background', SILENT), connectRedis(url, 'background', SILENT)]
  const producer = createTicketProducer({ redisUrl: url, deployment, log: SILENT })
  const worker = await createWorker({
    redis, deployment, producer, log: SILENT, name: 'scripted', host: 'e2e', version: '0', registry: createMetrics('worker'),
    ledger: createLedger({ redis, deployment, log: SILENT }), doorbell: createDoorbell(bells, deployment),
    backends: [createScriptedBackend({ mode: 'opencode', runMs })],
    settings: { concurrency, lockMs: 5_000, stalledIntervalMs: 1_000, drainGraceMs: 0, retryDelayMs: 1_000 },
  })
  return {
    async stop() {
      await worker.stop()
      await producer.close()
      for (const connection of [redis, bells]) connection.disconnect()
    },
  }
}
