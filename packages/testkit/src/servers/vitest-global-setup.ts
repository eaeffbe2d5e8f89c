import type { TestProject } from 'vitest/node'
import { startRedis } from './redis.ts'

/** Runs once per `vitest` call, around all test files. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const redis = await startRedis()
  project.provide('redisUrl', redis.url)
  return () => redis.stop()
}
