import { randomBytes } from 'node:crypto'
import { Redis } from 'ioredis'

import { type EventDraft, type Failure, NewTask, SILENT, type Task, taskIdFrom } from '@longshore/contracts'
import { createLedger, keysOf, type Ledger } from '@longshore/ledger'
import { outboxPrefix } from '@longshore/outbox'
import { createOutbox } from '../outbox/outbox.ts'

/** A deployment of its own on a Redis, and a hand that plays agents and workers. */
export interface Harbour {
  redis: Redis
  deployment: string
  ledger: Ledger
  submit(more?: Partial<NewTask>): Promise<Task>
  /** Submits and takes it. */
  start(more?: Partial<NewTask>): Promise<Task>
  say(task: Task, ...drafts: EventDraft[]): Promise<void>
  complete(task: Task, output: string): Promise<void>
  fail(task: Task, failure: Failure): Promise<void>
  /** How many notices wait in a sink's outbox, and how many were given up. */
  outbox(sink: string): Promise<{ waiting: number; dead: number }>
  /** Changes who observes it, as the tool for that does: on the record, with a mark in the fleet's stream and no event. */
  observe(task: Task, observers: string[]): Promise<void>
  /** A killed notifier's leases run out after seconds; where that is not the subject, a test need not wait. */
  freeLeases(sink: string): Promise<void>
}

export function createHarbour(redisUrl: string): Harbour {
  const redis = new Redis(redisUrl, { maxRetriesPerRequest: null, retryStrategy: () => 50 })
  redis.on('error', () => undefined)
  const deployment = `n-${randomBytes(5).toString('hex')}`
  const ledger = createLedger({ redis, deployment, log: SILENT })
  const submit = async (more: Partial<NewTask> = {}) =>
    (await ledger.submit(NewTask.parse({ id: taskIdFrom(randomBytes(52)), agent_id: 'agent-a', prompt: 'p', title: 'Mend the crane', mode: 'docker', ...more }))).task
  const claimOf = ({ id, claim }: Task) => ({ taskId: id, claim })
  return {
    redis, deployment, ledger, submit,
    async start(more) {
      const task = await submit(more)
      const take = await ledger.take({ task_id: task.id, n: task.ticket }, 'worker-1')
      if (take.kind !== 'taken') throw new Error(`not taken: ${take.reason}`)
      return take.task
    },
    say: async (task, ...drafts) => void (await ledger.append(claimOf(task), drafts)),
    complete: async (task, output) => void (await ledger.end(claimOf(task), { state: 'completed', payload: { result: { output, output_truncated: false, files_changed: 1 } } })),
    fail: async (task, failure) => void (await ledger.end(claimOf(task), { state: 'failed', payload: { failure } })),
    async outbox(sink) {
      const { waiting, dead } = await createOutbox({ redis, deployment, sink }).sizes()
      return { waiting, dead }
    },
    async observe({ id, seq }, observers) {
      const keys = keysOf(deployment)
      const brief = JSON.parse((await redis.hget(keys.task(id), 'brief')) ?? '{}') as object
      await redis.hset(keys.task(id), 'brief', JSON.stringify({ ...brief, observers }))
      await redis.xadd(keys.fleet, '*', 't', id, 's', String(seq), 'y', 'task.started')
    },
    async freeLeases(sink) {
      const leases = await redis.keys(`${outboxPrefix(deployment, sink)}lease:*`)
      if (leases.length > 0) await redis.del(...leases)
    },
  }
}
