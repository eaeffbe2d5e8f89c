import { devFolder, joinEngineUsers } from '@longshore/infra'
import type { TestProject } from 'vitest/node'
import { missingNeeds } from '../needs/missing-needs.ts'
import { startRedis } from './redis.ts'

/** Runs once per `vitest` call, around all test files. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const { env } = process
  project.provide('missingNeeds', await missingNeeds(env))
  project.provide('mustNotSkip', env['LONGSHORE_TEST_REQUIRE'] === 'all')
  const leaveEngine = await joinEngineUsers(devFolder('engine'), env)
  const redis = await startRedis()
  project.provide('redisUrl', redis.url)
  return async () => {
    await redis.stop()
    await leaveEngine()
  }
}
