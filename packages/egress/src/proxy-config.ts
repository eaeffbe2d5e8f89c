import { createHash } from 'node:crypto'
import { DeploymentId } from '@longshore/contracts'
import { z } from 'zod'
import { Upstream } from './upstream.ts'

/** What the operator set: the same for all workers of a deployment that were started with the same settings. */
export const ProxyRules = z.object({
  upstreams: z.array(Upstream),
  /** Entries of EGRESS_ALLOW. */
  allow: z.array(z.string()),
  /** Entries of EGRESS_ALLOW_PRIVATE. */
  ranges: z.array(z.string()),
  /** `HTTPS_PROXY` and the like of this host: for model calls. */
  proxyEnv: z.record(z.string(), z.string()),
  /** Further certificates that this host trusts. */
  caFile: z.string().optional(),
  /** Of the program: a newer one takes over. */
  version: z.string(),
})
export type ProxyRules = z.infer<typeof ProxyRules>

/** What a proxy process is told on its standard input, so that it stands in no argument and no environment. Secret. */
export const ProxyConfig = z.object({
  deployment: DeploymentId,
  redisUrl: z.string(),
  /** Of this host: where it listens. */
  address: z.union([z.ipv4(), z.ipv6()]),
  /** Unix ms: of two sets of rules the one whose worker started later holds. */
  since: z.int(),
  rules: ProxyRules,
})
export type ProxyConfig = z.infer<typeof ProxyConfig>

/** By this two sets of rules are told apart; keys cannot be got back from it. */
export function fingerprintOf(rules: ProxyRules): string {
  return createHash('sha256').update(JSON.stringify(rules)).digest('hex')
}
