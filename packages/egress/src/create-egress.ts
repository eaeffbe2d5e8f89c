import { setTimeout as delay } from 'node:timers/promises'
import { type Admission, type DeploymentId, type Egress, type Log, TaskFailure } from '@longshore/contracts'
import { keepRounds } from '@longshore/runtime'
import type { Redis } from 'ioredis'
import { createGrants, type NetworkPolicy } from './grants.ts'
import { answers, ensureProxy } from './launch-proxy.ts'
import { postAt } from './post.ts'
import { fingerprintOf, type ProxyRules } from './proxy-config.ts'

export interface EgressOptions {
  redis: Redis
  /** The same Redis, for the proxy's own connection. */
  redisUrl: string
  deployment: DeploymentId
  policy: NetworkPolicy
  rules: ProxyRules
  /** Unix ms: when this worker started. */
  since: number
  log: Log
}

/** A proxy that died is there again within this and the second that it takes to start. */
const WATCH_MS = 1_000
const LEAVE_MS = 3_000
const POLL_MS = 50

/** The worker's side: starts proxies, keeps them alive while executions need them, and gives out tokens. */
export function createEgress(options: EgressOptions): Egress {
  const { redis, redisUrl, deployment, rules, since, log } = options
  const fingerprint = fingerprintOf(rules)
  const grants = createGrants(redis, deployment, options.policy)
  const opening = new Map<string, Promise<string>>()
  const used = new Set<string>()
  const open = async (address: string): Promise<string> => {
    const post = await ensureProxy({ deployment, redisUrl, address, since, rules }, postAt(redis, deployment, address), fingerprint)
    used.add(address)
    return `http://${address.includes(':') ? `[${address}]` : address}:${post.port}`
  }
  // Many tasks open it at the same moment.
  const openOnce = (address: string): Promise<string> => {
    const pending = opening.get(address) ?? open(address).finally(() => opening.delete(address))
    opening.set(address, pending)
    return pending
  }
  const watch = keepRounds({ everyMs: WATCH_MS, log, failing: 'the egress proxy could not be looked after', round: async () => {
    for (const address of used) if ((await grants.count(address, Date.now())) > 0) await openOnce(address)
  } })
  return {
    open: openOnce,
    admit: (admission: Admission) => grants.admit(admission).catch((error: unknown) => {
      throw new TaskFailure('backend_unavailable', 'the token of the task could not be stored', { cause: error })
    }),
    revoke: grants.revoke,
    refusals: grants.takeRefusals,
    close: async () => {
      await watch.stop()
      for (const address of used) await leave(options, address, () => grants.count(address, Date.now()))
    },
  }
}

/** Where nobody is let through any more the proxy ends with the last worker that leaves; another worker would start it again. */
async function leave({ redis, deployment }: EgressOptions, address: string, count: () => Promise<number>): Promise<void> {
  if ((await count()) > 0) return
  const posts = postAt(redis, deployment, address)
  const post = await posts.read()
  if (post === undefined) return
  await posts.vacate()
  for (const end = performance.now() + LEAVE_MS; performance.now() < end && (await answers(address, post.port)); await delay(POLL_MS));
}
