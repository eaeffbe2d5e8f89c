import { randomBytes } from 'node:crypto'
import { sharedRedisUrl } from '@longshore/testkit'
import { Redis } from 'ioredis'
import { afterAll } from 'vitest'

import { type AnyEvent, type Handle, NewTask, SILENT, START, type Task, taskIdFrom } from '@longshore/contracts'

import { createLedger } from '../create-ledger.ts'
import { type Keys, keysOf } from '../keys.ts'
import type { Claim, Ledger, Reach } from '../ledger.ts'

export const aHandle: Handle = { v: 1, mode: 'docker', data: { container: 'c1' } }
export const completed = { state: 'completed', payload: { result: { output: 'done', output_truncated: false, files_changed: 1 } } } as const
export const poison = { state: 'failed', payload: { failure: { code: 'poison', message: 'it killed "five" workers' } } } as const

export const aTask = (more: Partial<NewTask> = {}): NewTask =>
  NewTask.parse({ id: taskIdFrom(randomBytes(52)), agent_id: 'agent-a', prompt: 'write a poem', title: 'write a poem', mode: 'docker', ...more })
export const ticket = ({ id, ticket: n }: Pick<Task, 'id' | 'ticket'>) => ({ task_id: id, n })
export const claimOf = ({ id, claim }: Task): Claim => ({ taskId: id, claim })

/** The ledger of a fresh deployment, and what its tests do with it. */
export interface World {
  deployment: string
  redis: Redis
  keys: Keys
  ledger: Ledger
  /** The same ledger over another connection: what two of them do at once is a race. */
  peer: Ledger
  submitted(more?: Partial<NewTask>): Promise<Task>
  /** Takes the current ticket; throws when there is nothing to take. */
  taken(task: Pick<Task, 'id' | 'ticket'>, worker: string, reach?: Reach): Promise<Task>
  running(more?: Partial<NewTask>): Promise<Task>
  now(id: Task['id']): Promise<Task>
  events(task: Pick<Task, 'id'>): Promise<AnyEvent[]>
  types(task: Pick<Task, 'id'>): Promise<string[]>
}

/** To be called at the top of a test file: the connection ends with it. */
export function connect(): () => World {
  const [redis, other] = [new Redis(sharedRedisUrl()), new Redis(sharedRedisUrl())]
  afterAll(() => [redis, other].forEach((connection) => connection.disconnect()))
  return () => openWorld(redis, other)
}

function openWorld(redis: Redis, other: Redis): World {
  const deployment = `t-${randomBytes(6).toString('hex')}`
  const ledger = createLedger({ redis, deployment, log: SILENT })
  const submitted: World['submitted'] = async (more) => (await ledger.submit(aTask(more))).task
  const taken: World['taken'] = async (task, worker, reach) => {
    const take = await ledger.take(ticket(task), worker, undefined, reach)
    if (take.kind !== 'taken') throw new Error(`not taken: ${take.reason}`)
    return take.task
  }
  const events: World['events'] = async ({ id }) => {
    const page = await ledger.read(id, START, 1_000)
    if (page?.kind !== 'events') throw new Error('no events')
    return page.events
  }
  return {
    deployment, redis, ledger, peer: createLedger({ redis: other, deployment, log: SILENT }), keys: keysOf(deployment), submitted, taken, events,
    running: async (more) => taken(await submitted(more), 'worker-1'),
    types: async (task) => (await events(task)).map(({ type }) => type),
    async now(id) {
      const task = await ledger.get(id)
      if (task === undefined) throw new Error(`no task ${id}`)
      return task
    },
  }
}
