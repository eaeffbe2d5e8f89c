import process from 'node:process'

import { NewTask, SILENT } from '@longshore/contracts'
import { createLedger } from '@longshore/ledger'
import { createTicketProducer } from '@longshore/queue'
import { connectRedis, untilReady } from '@longshore/runtime'

/** Where a submitting process dies. */
export const KILL_POINTS = ['before submit', 'after submit', 'after add', 'never'] as const
export interface SubmitConfig { redisUrl: string; deployment: string; task: object; killAt: (typeof KILL_POINTS)[number] }

/** What a gateway does for a submit, with a power cut at one of its steps: see submit.test.ts. */
async function submit({ redisUrl, deployment, task, killAt }: SubmitConfig): Promise<void> {
  const dieAt = (point: SubmitConfig['killAt']) => {
    if (point === killAt) process.kill(process.pid, 'SIGKILL')
  }
  const redis = connectRedis(redisUrl, 'caller', SILENT)
  await untilReady(redis, 5_000)
  const ledger = createLedger({ redis, deployment, log: SILENT })
  const producer = createTicketProducer({ redisUrl, deployment, log: SILENT })
  while (await producer.time().then(() => false, () => true)) await new Promise((resolve) => setTimeout(resolve, 5))
  dieAt('before submit')
  const { ticket } = await ledger.submit(NewTask.parse(task))
  dieAt('after submit')
  if (ticket !== undefined) await producer.add(ticket)
  dieAt('after add')
  if (ticket !== undefined) await ledger.ticketAdded(ticket)
  await producer.close()
  redis.disconnect()
}

if (process.argv[2] !== undefined) await submit(JSON.parse(process.argv[2]) as SubmitConfig)
