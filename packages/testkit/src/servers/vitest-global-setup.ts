import { devFolder, findEngine, stopPrivateEngine } from '@longshore/infra'
import type { TestProject } from 'vitest/node'
import { missingNeeds } from '../needs/missing-needs.ts'
import { startRedis } from './redis.ts'

/** Runs once per `vitest` call, around all test files. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const { env } = process
  project.provide('missingNeeds', await missingNeeds(env))
  project.provide('mustNotSkip', env['LONGSHORE_TEST_REQUIRE'] === 'all')
  const engineBefore = await findEngine(devFolder('engine'), env)
  const redis = await startRedis()
  project.provide('redisUrl', redis.url)
  return async () => {
    await redis.stop()
    // A suite may have started the private engine; one that was there before stays.
    if (engineBefore === undefined && (await findEngine(devFolder('engine'), env)) !== undefined) await stopPrivateEngine(devFolder('engine'), env)
  }
}
