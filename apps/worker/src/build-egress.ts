import { accessOfAll, BASE_VARIABLES, type GuardedModel, guardModel } from '@longshore/backends'
import type { DeploymentId, Egress, Log, Profiles } from '@longshore/contracts'
import { createEgress, parseAllowed, parseRange } from '@longshore/egress'
import { type Settings, widestNetwork } from '@longshore/runtime'
import type { Redis } from 'ioredis'
import { Counter, type Registry } from 'prom-client'

import { agentsAccess } from './build-backends.ts'

export interface BuildEgressOptions {
  settings: Settings
  profiles: Profiles
  env: Readonly<Record<string, string | undefined>>
  redis: Redis
  redisUrl: string
  deployment: DeploymentId
  version: string
  /** Unix ms: when this worker started. */
  since: number
  registry: Registry
  log: Log
}

/** The way out of this worker's agents; undefined where the operator wants none. @throws Error that names the variable that does not fit */
export function buildEgress({ settings, profiles, env, registry, version, log, ...rest }: BuildEgressOptions): Egress | undefined {
  if (settings.EGRESS === 'off') return undefined
  refuseOwnWays(profiles)
  const guarded = guardModel(accessOfAll(agentsAccess({ settings, env, profiles })))
  sayWithheld(guarded, log)
  const egress = createEgress({
    ...rest, log, policy: { normal: settings.EGRESS_POLICY, most: widestNetwork(settings) },
    rules: {
      upstreams: guarded.providers, allow: checked('EGRESS_ALLOW', settings.EGRESS_ALLOW, parseAllowed), ranges: checked('EGRESS_ALLOW_PRIVATE', settings.EGRESS_ALLOW_PRIVATE, parseRange),
      proxyEnv: proxyEnvironment(env), version, ...(env['NODE_EXTRA_CA_CERTS'] === undefined ? {} : { caFile: env['NODE_EXTRA_CA_CERTS'] }),
    },
  })
  return counted(egress, registry)
}

/** A profile with an address of its own would be led to another provider than its author means. */
function refuseOwnWays(profiles: Profiles): void {
  for (const [name, { set }] of Object.entries(profiles)) {
    const variable = BASE_VARIABLES.find((one) => set[one] !== undefined)
    if (variable !== undefined) throw new Error(`PROFILES_FILE: the profile "${name}" sets ${variable}, and agents reach providers by the egress proxy alone: give that variable to the worker and name it in the profile's "env", or set EGRESS=off`)
  }
}

function sayWithheld({ withheld }: GuardedModel, log: Log): void {
  for (const reason of withheld) log.warn({ reason }, 'the egress proxy cannot keep this from agents, so they do not get it; EGRESS=off gives it to them')
}

function checked(name: string, entries: string[], parse: (entry: string) => unknown): string[] {
  for (const entry of entries) {
    try {
      parse(entry)
    } catch (error) {
      throw new Error(`${name}: got ${JSON.stringify(entry.slice(0, 80))}: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
    }
  }
  return entries
}

/** How this host reaches model providers, where that is by a proxy of its own; never what is on the host itself. */
export function proxyEnvironment(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const given = (name: string) => env[name.toLowerCase()] ?? env[name]
  const proxies = ['HTTPS_PROXY', 'HTTP_PROXY'].flatMap((name) => (given(name) === undefined ? [] : [[name, given(name) ?? ''] as const]))
  if (proxies.length === 0) return {}
  return { ...Object.fromEntries(proxies), NO_PROXY: [given('NO_PROXY'), 'localhost', '127.0.0.1', '::1'].filter((one) => one !== undefined && one !== '').join(',') }
}

function counted(egress: Egress, registry: Registry): Egress {
  const refused = new Counter({ name: 'longshore_egress_refused_total', help: 'Connections and model calls of agents that the egress proxy refused, by reason.', labelNames: ['reason'], registers: [registry] })
  return {
    ...egress,
    refusals: async (execution) => {
      const told = await egress.refusals(execution)
      for (const { reason, count } of told) refused.inc({ reason }, count)
      return told
    },
  }
}
