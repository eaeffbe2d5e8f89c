import { MODES, type DeploymentId, type Mode } from '@longshore/contracts'

// One slot for everything of a deployment (decision 13); BullMQ wants the hash tag in its `prefix`, never in ioredis' `keyPrefix`.
const root = (deployment: DeploymentId): string => `{ls:${deployment}}`

/** Every key and queue name that this package uses is spelled here. */
export interface QueueKeys {
  /** BullMQ's `prefix` option. */
  prefix: string
  /** A BullMQ key: `wait`, `completed`, `events`, or a job's id. */
  of(mode: Mode, part: string): string
  /** STRING with a TTL: which process looks for lost tickets at the moment. */
  scanLease: string
  /** STRING with a TTL: what a worker says of itself. */
  worker(name: string): string
  /** ZSET by last beat: worker names. */
  workers: string
}

export function queueKeys(deployment: DeploymentId): QueueKeys {
  const prefix = `${root(deployment)}:q`
  return {
    prefix,
    of: (mode, part) => `${prefix}:${queueName(mode)}:${part}`,
    scanLease: `${root(deployment)}:scan-lease`,
    worker: (name) => `${root(deployment)}:worker:${name}`,
    workers: `${root(deployment)}:workers`,
  }
}

/** A queue per mode (decision 12): pause, global concurrency and a kill switch for each. */
export function queueName(mode: Mode): string {
  return mode
}

/** The queues of every deployment, for Bull Board. */
export function queueNames(): Record<Mode, string> {
  return Object.fromEntries(MODES.map((mode) => [mode, queueName(mode)])) as Record<Mode, string>
}
