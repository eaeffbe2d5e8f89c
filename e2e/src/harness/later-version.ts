import { randomBytes } from 'node:crypto'
import { cp, readFile, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'

import { DeploymentId, EventId, NewTask, SILENT, TaskId, taskIdFrom, ticketId, titleOf } from '@longshore/contracts'
import { createLedger, keysOf } from '@longshore/ledger'
import { createTicketProducer, queueKeys, queueName, WORKER_VERSION } from '@longshore/queue'
import { waitFor } from '@longshore/testkit'
import { Redis } from 'ioredis'
import { makeTree, type OtherTree, PARTS, THIS_TREE } from './other-tree.ts'
import type { Stack } from './stack.ts'

const LATER = WORKER_VERSION + 1
const NOT_COPIED = new Set(['node_modules', '.turbo', '.longshore'])

/** The version after this one does not exist yet: this tree, with workers that say of themselves that they understand more. */
export function copyAsLaterVersion(): Promise<OtherTree> {
  return makeTree('a later version', async (root) => {
    for (const part of PARTS) await cp(join(THIS_TREE, part), join(root, part), { recursive: true, filter: (source) => !NOT_COPIED.has(basename(source)) })
    const file = join(root, 'packages/queue/src/ticket-job.ts')
    const text = await readFile(file, 'utf8')
    const raised = text.replace(`WORKER_VERSION = ${WORKER_VERSION}`, `WORKER_VERSION = ${LATER}`)
    if (raised === text) throw new Error(`${file} was to say WORKER_VERSION = ${WORKER_VERSION}`)
    await writeFile(file, raised)
  })
}

/** What a later version leaves in Redis for workers and readers of this one. */
export interface LaterVersion {
  /** Accepts a task of Alice that takes a later worker. */
  submit(prompt: string): Promise<string>
  /** How often a worker got the task's first ticket. */
  looks(taskId: string): Promise<number>
  /** Appends to the log of a task that nobody owns: in one step, as all versions do (G5). */
  append(taskId: string, events: readonly { v: number; type: string; payload: object }[]): Promise<void>
  close(): Promise<void>
}

export async function createLaterVersion({ redis: { url }, deployment: name }: Stack): Promise<LaterVersion> {
  const deployment = DeploymentId.parse(name)
  const redis = new Redis(url)
  const [keys, queue] = [keysOf(deployment), queueKeys(deployment)]
  const ledger = createLedger({ redis, deployment, log: SILENT })
  const producer = createTicketProducer({ redisUrl: url, deployment, log: SILENT })
  await waitFor(async () => (await producer.time()) > 0, { what: 'the queue to answer' })
  return {
    async submit(prompt) {
      const task = NewTask.parse({ id: taskIdFrom(randomBytes(52)), agent_id: 'agent-alice', prompt, title: titleOf(prompt), mode: 'opencode', timeout_ms: 120_000 })
      // The ticket first: dispatchers of the previous commit do not read what stands in the record, and a ticket of theirs would be for all.
      await producer.add({ v: 1, task_id: task.id, n: 1, agent_id: task.agent_id, mode: task.mode, title: task.title, min_worker: LATER })
      await ledger.submit(task)
      await redis.hset(keys.task(task.id), 'min_worker', LATER)
      await ledger.ticketAdded({ task_id: task.id, n: 1 })
      return task.id
    },
    looks: async (taskId) => Number(await redis.hget(queue.of(queueName('opencode'), ticketId({ task_id: TaskId.parse(taskId), n: 1 })), 'ats')),
    async append(taskId, events) {
      const id = TaskId.parse(taskId)
      const [before, time] = await Promise.all([ledger.get(id), producer.time()])
      if (before === undefined) throw new Error(`there is no ${taskId}`)
      const made = events.map((event, index) => ({ ...event, id: newEventId(), task_id: id, seq: before.seq + 1 + index, at: time }))
      const step = redis.multi()
      for (const { v, id: eventId, task_id, seq, at, type, payload } of made) {
        step.rpush(keys.log(id), JSON.stringify({ v, id: eventId, task_id, seq, at, type, payload }))
          .hset(keys.task(id), 'seq', seq, 'last', eventId).xadd(keys.fleet, '*', 't', id, 's', seq, 'y', type)
      }
      await step.publish(keys.bell(id), String(before.seq + made.length)).publish(keys.bell('fleet'), id).exec()
    },
    async close() {
      await producer.close()
      redis.disconnect()
    },
  }
}

/** A ULID as far as anybody looks at it. */
function newEventId(): EventId {
  return EventId.parse(`01${randomBytes(12).toString('hex').toUpperCase()}`)
}
