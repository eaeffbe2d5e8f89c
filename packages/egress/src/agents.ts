import { Agent as PlainAgent } from 'node:http'
import { Agent as TlsAgent } from 'node:https'

/** Connections to model providers are kept; each has its own, so that none waits for another. */
export interface Agents { plain: PlainAgent; tls: TlsAgent }

const KEPT = { keepAlive: true, maxFreeSockets: 64, timeout: 0 }

/** @param proxyEnv `HTTPS_PROXY` and the like, where this host reaches providers through a proxy of its own */
export function createAgents(proxyEnv: Record<string, string>): Agents {
  return { plain: new PlainAgent({ ...KEPT, proxyEnv }), tls: new TlsAgent({ ...KEPT, proxyEnv }) }
}
