import { createHash } from 'node:crypto'

import type { DeploymentId, Mode, Ticket } from '@longshore/contracts'

// One slot for everything of a deployment (decision 13); BullMQ wants the hash tag in its `prefix`, never in ioredis' `keyPrefix`.
const root = (deployment: DeploymentId): string => `{ls:${deployment}}`

/** Every key and queue name that this package uses is spelled here. */
export interface QueueKeys {
  /** BullMQ's `prefix` option. */
  prefix: string
  /** A BullMQ key of a queue: `wait`, `completed`, `events`, or a job's id. */
  of(queue: string, part: string): string
  /** STRING with a TTL: which process looks for lost tickets at the moment. */
  scanLease: string
  /** STRING with a TTL: what a worker says of itself. */
  worker(name: string): string
  /** ZSET by last beat: worker names. */
  workers: string
  /** STRING with a TTL: somebody wants this worker to take no more. */
  drain(name: string): string
  /** ZSET `<mode>@<engine id>` by when a worker last said that it reaches this engine (Redis TIME in ms; 0: never). */
  engines: string
  /** STRING: what this deployment's processes show each other where files are read. */
  filesSecret: string
}

export function queueKeys(deployment: DeploymentId): QueueKeys {
  const prefix = `${root(deployment)}:q`
  return {
    prefix,
    of: (queue, part) => `${prefix}:${queue}:${part}`,
    scanLease: `${root(deployment)}:scan-lease`,
    worker: (name) => `${root(deployment)}:worker:${name}`,
    workers: `${root(deployment)}:workers`,
    drain: (name) => `${root(deployment)}:drain:${name}`,
    engines: `${root(deployment)}:engines`,
    filesSecret: `${root(deployment)}:files-secret`,
  }
}

/**
 * A queue per mode (decision 12): pause, global concurrency and a kill switch for each. One more per engine, for tasks
 * that must go back to where their execution lives; by a hash, because BullMQ allows no `:` and an engine's id may be anything.
 */
export function queueName(mode: Mode, engineId?: string): string {
  return engineId === undefined ? mode : `${mode}@${createHash('sha256').update(engineId).digest('hex').slice(0, 12)}`
}

/** Where this ticket belongs. */
export function queueOf({ mode, engine_id }: Pick<Ticket, 'mode' | 'engine_id'>): string {
  return queueName(mode, engine_id)
}
