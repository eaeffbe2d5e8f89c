import { SILENT } from '@longshore/contracts'
import { createApiKeys, createLedger, keysOf } from '@longshore/ledger'
import { checkRedis, connectRedis, type Settings, untilReady } from '@longshore/runtime'
import { Complaint } from '../command.ts'
import { provisionKeys, type StackKeys } from '../key-files.ts'
import { announceRedis } from '../redis-access.ts'

/** What is in Redis before the programs start, and the keys put there. */
export interface Prepared {
  keys: StackKeys
  /** Tasks of earlier starts. */
  tasksKnown: number
  /** What this Redis cannot promise (G1), for people. */
  faults: string[]
}

/** One of ours may load a large file first; an operator's is there or not. */
const OURS_MS = 60_000
const OPERATORS_MS = 10_000

/** Makes this home's keys valid in its Redis, and looks what is there. @throws Complaint when it does not answer */
export async function prepareRedis({ settings, home, redisUrl }: { settings: Settings; home: string; redisUrl: string }): Promise<Prepared> {
  const deployment = settings.LONGSHORE_DEPLOYMENT
  const redis = connectRedis(redisUrl, 'background', SILENT)
  try {
    await untilReady(redis, settings.REDIS_URL === undefined ? OURS_MS : OPERATORS_MS).catch((error: unknown) => {
      const { host } = new URL(redisUrl)
      throw new Complaint(`REDIS_URL: no Redis answers at ${host} (${error instanceof Error ? error.message : String(error)}). Start it, or leave REDIS_URL out: npm start then runs a private one.`, { cause: error })
    })
    const keys = await provisionKeys(createApiKeys(redis, deployment), home, { agent: settings.LONGSHORE_AGENT_KEY, operator: settings.LONGSHORE_API_KEY, agentId: settings.LONGSHORE_AGENT_ID })
    await announceRedis(home, redisUrl)
    const { checks } = await checkRedis(redis, `${keysOf(deployment).prefix}probe:up`)
    const counts = await createLedger({ redis, deployment, log: SILENT }).counts()
    return {
      keys,
      tasksKnown: Object.values(counts).reduce((sum, count) => sum + count, 0),
      faults: checks.filter((check) => !check.ok).map((check) => `${check.name}: ${check.detail}`),
    }
  } finally {
    redis.disconnect()
  }
}
