import type { Admitted, DeploymentId } from '@longshore/contracts'

/** Every key of the egress proxies is spelled here. All begin with `{ls:<deployment>}:egress:`. */
export interface EgressKeys {
  /** STRING with an expiry: what a token is good for. */
  grant(execution: Admitted): string
  /** ZSET by expiry: executions that are let through by the proxy of this address. */
  grants(address: string): string
  /** HASH: which proxy serves this address, and its port. */
  proxy(address: string): string
  /** STRING with an expiry: somebody is starting one. */
  launch(address: string): string
  /** HASH `<reason> <host>` → count, with an expiry: what an execution was refused. */
  refused(execution: Admitted): string
}

export const nameOf = ({ taskId, claim }: Admitted): string => `${taskId}-${claim}`

export function egressKeys(deployment: DeploymentId): EgressKeys {
  const prefix = `{ls:${deployment}}:egress:`
  return {
    grant: (execution) => `${prefix}grant:${nameOf(execution)}`,
    grants: (address) => `${prefix}grants:${address}`,
    proxy: (address) => `${prefix}proxy:${address}`,
    launch: (address) => `${prefix}launch:${address}`,
    refused: (execution) => `${prefix}refused:${nameOf(execution)}`,
  }
}
