import type { Redis } from 'ioredis'
import { z } from 'zod'

import { DEFAULT_PROFILE, type DeploymentId, Isolation, Mode } from '@longshore/contracts'

import { memberOf } from './engines.ts'
import { queueKeys } from './names.ts'

const Capabilities = z.object({ adopt: z.boolean(), resume: z.boolean().default(false), steer: z.boolean(), ask: z.boolean().optional(), pause: z.boolean(), usage: z.boolean(), files: z.boolean() })

/** What a mode is on one worker. `reason`: why it takes no tickets, and what to do about it. */
export const ModeReport = z.object({
  mode: Mode,
  ok: z.boolean(),
  reason: z.string().optional(),
  isolation: Isolation,
  /** The engine, host or server that it reaches: `engine_id` of its handles. */
  engine_id: z.string().optional(),
  capabilities: Capabilities,
  /** What it runs, and what a task may choose of it. Absent, from older workers: the profile `opencode`, and nothing to choose. */
  profiles: z.array(z.object({ name: z.string(), capabilities: Capabilities, choices: z.array(z.string()) })).optional(),
})
export type ModeReport = z.infer<typeof ModeReport>

/** What a mode's worker can do for tasks of a profile; undefined: it does not have it. */
export function servedBy({ profiles, capabilities }: ModeReport, profile: string): Pick<NonNullable<ModeReport['profiles']>[number], 'capabilities' | 'choices'> | undefined {
  if (profiles === undefined) return profile === DEFAULT_PROFILE ? { capabilities, choices: [] } : undefined
  return profiles.find(({ name }) => name === profile)
}

/** Whether what runs a task can do this, as far as its worker, or without one the workers that could run it, say (G13). While none is there the wish waits with the task. */
export function canDo(workers: readonly Heartbeat[], task: { mode: Mode; worker?: string | undefined; profile: string }, capability: 'pause' | 'steer'): boolean {
  const owner = workers.filter(({ name }) => name === task.worker)
  const able = (owner.length > 0 ? owner : workers).flatMap(({ modes }) => modes.flatMap((report) => (report.mode === task.mode ? (servedBy(report, task.profile) ?? []) : [])))
  return able.length === 0 || able.some(({ capabilities }) => capabilities[capability])
}

/** What a worker says of itself every few seconds. */
export const Heartbeat = z.object({
  v: z.literal(1),
  name: z.string(),
  host: z.string(),
  /** Of the worker's build. */
  version: z.string(),
  started_at: z.int(),
  slots: z.int(),
  running: z.int(),
  draining: z.boolean(),
  storage_id: z.string().optional(),
  /** Where it serves the files of that storage's tasks to who knows the deployment's secret (files-access.ts). */
  files_url: z.string().optional(),
  modes: z.array(ModeReport),
})
export type Heartbeat = z.infer<typeof Heartbeat>

/** Who does not beat for this long is gone. */
export const HEARTBEAT_TTL_MS = 15_000

export interface Heartbeats {
  /** In one round trip: says it, and asks whether somebody wants this worker to drain (drain-requests.ts). */
  beat(heartbeat: Heartbeat): Promise<{ isDrainAsked: boolean }>
  /** A worker that ends says so; nobody waits for its silence. What was asked of it is asked of no successor. */
  remove(name: string): Promise<void>
  /** Workers that are there, by name; those that this build cannot read are left out. */
  list(): Promise<Heartbeat[]>
}

// Of the workers' names only an hour is kept; what counts is whether the key is still there.
const BEAT = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
redis.call('ZADD', KEYS[2], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - 3600000)
for i = 4, #ARGV do redis.call('ZADD', KEYS[3], now, ARGV[i]) end
return redis.call('EXISTS', KEYS[4])
`

export function createHeartbeats(redis: Redis, deployment: DeploymentId): Heartbeats {
  const keys = queueKeys(deployment)
  return {
    beat: async (heartbeat) => {
      const { name } = heartbeat
      const engines = enginesOf(heartbeat).map(({ mode, engineId }) => memberOf(mode, engineId))
      const asked = await redis.eval(BEAT, 4, keys.worker(name), keys.workers, keys.engines, keys.drain(name), name, JSON.stringify(heartbeat), HEARTBEAT_TTL_MS, ...engines)
      return { isDrainAsked: asked === 1 }
    },
    remove: async (name) => {
      await redis.multi().del(keys.worker(name), keys.drain(name)).zrem(keys.workers, name).exec()
    },
    list: async () => {
      const names = await redis.zrange(keys.workers, 0, '-1')
      if (names.length === 0) return []
      const values = await redis.mget(names.toSorted().map((name) => keys.worker(name)))
      return values.filter((value) => value !== null).map((value) => Heartbeat.safeParse(JSON.parse(value)).data).filter((found) => found !== undefined)
    },
  }
}

/** The engines that this worker can run tasks on now. */
function enginesOf({ draining, modes }: Heartbeat): { mode: Mode; engineId: string }[] {
  if (draining) return []
  return modes.flatMap(({ mode, ok, engine_id: engineId }) => (ok && engineId !== undefined ? [{ mode, engineId }] : []))
}

/** Those workers that could take a task back to this engine now: they reach it, the mode is on, and they are not ending. */
export function reaching(workers: readonly Heartbeat[], mode: Mode, engineId: string): Heartbeat[] {
  return workers.filter((worker) => enginesOf(worker).some((engine) => engine.mode === mode && engine.engineId === engineId))
}
