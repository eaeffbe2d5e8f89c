import type { Network } from '@longshore/contracts'
import { type Allowed, isHostListed, isListed, WEB_PORTS } from './allow-list.ts'
import { Refused } from './refused.ts'
import { spell, type Target } from './target.ts'

/** Lets a target through or throws; answers whether the operator's list names it. To which addresses it leads is looked at later. @throws Refused */
export function judge(network: Network, list: readonly Allowed[], target: Target): boolean {
  const shown = spell(target)
  if (network !== 'provider' && isListed(list, target)) return true
  if (network === 'provider') throw new Refused('policy', shown, `${shown}: this task reaches its model provider only (network: provider)`)
  if (network === 'allowlist' && !isHostListed(list, target)) throw new Refused('policy', shown, `${shown} is not in the deployment's list (EGRESS_ALLOW; network: allowlist)`)
  if (network === 'allowlist' || !WEB_PORTS.includes(target.port)) throw new Refused('port', shown, `${shown}: only ports ${WEB_PORTS.join(' and ')} and those that EGRESS_ALLOW names are let through`)
  return false
}
