import { randomUUID } from 'node:crypto'

import { type Log, SILENT } from '@longshore/contracts'
import { type ApiKeys, createApiKeys, createLedger, type Ledger } from '@longshore/ledger'
import { loadSettings, readProfiles } from '@longshore/runtime'
import { sharedRedisUrl } from '@longshore/testkit'
import { Redis } from 'ioredis'
import { createGateway, type Gateway } from './gateway.ts'

/** A gateway of a test, with keys of two agents and an operator, and the ledger behind it. */
export interface GatewayFixture {
  gateway: Gateway
  url: string
  ledger: Ledger
  redis: Redis
  deployment: string
  apiKeys: ApiKeys
  keys: { alice: string; bob: string; operator: string }
  /** A fetch with alice's key, or another's. */
  request(path: string, init?: Omit<RequestInit, 'headers'> & { key?: string; headers?: Record<string, string> }): Promise<Response>
  /** One more replica of the same deployment. */
  replica(): Promise<Gateway>
  stop(): Promise<void>
}

/** @param env settings that the test is about */
export async function startGatewayFixture(env: Record<string, string> = {}, redisUrl: string = sharedRedisUrl(), log: Log = SILENT): Promise<GatewayFixture> {
  const deployment = `t-${randomUUID()}`
  const settings = loadSettings({ MCP_PORT: '0', LONGSHORE_DEPLOYMENT: deployment, ...env })
  const redis = new Redis(redisUrl, { retryStrategy: () => 20 })
  redis.on('error', () => undefined)
  const apiKeys = createApiKeys(redis, deployment)
  const [alice, bob, operator] = await Promise.all([
    apiKeys.make({ agentId: 'agent-alice' }, 'alice'), apiKeys.make({ agentId: 'agent-bob' }, 'bob'), apiKeys.make('operator', 'operator'),
  ])
  const profiles = await readProfiles(settings)
  const make = () => createGateway({ settings, profiles, redisUrl, version: '9.9.9-test', log })
  const gateways = [await make()]
  const [gateway] = gateways as [Gateway]
  return {
    gateway, url: gateway.url, redis, deployment, apiKeys,
    ledger: createLedger({ redis, deployment, log: SILENT }),
    keys: { alice: alice.key, bob: bob.key, operator: operator.key },
    request: (path, { key = alice.key, headers, ...init } = {}) => fetch(`${gateway.url}${path}`, { ...init, headers: { authorization: `Bearer ${key}`, ...headers } }),
    async replica() {
      gateways.push(await make())
      return gateways.at(-1) as Gateway
    },
    async stop() {
      await Promise.all(gateways.map((one) => one.stop()))
      redis.disconnect()
    },
  }
}
