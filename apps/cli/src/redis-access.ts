import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { SILENT } from '@longshore/contracts'
import { connectRedis, untilReady } from '@longshore/runtime'
import type { Redis } from 'ioredis'
import { Complaint, type Context } from './command.ts'
import { homeOf } from './stack.ts'

/** A Redis that is there answers within milliseconds; one that loads its data may take a moment. */
const READY_MS = 5_000

const urlFile = (home: string): string => join(home, 'keys', 'redis')

/** Keeps the address of the home's Redis (with its password) where only the owner reads it, while it runs. */
export async function announceRedis(home: string, url: string): Promise<void> {
  await mkdir(join(home, 'keys'), { recursive: true, mode: 0o700 })
  await writeFile(urlFile(home), `${url}\n`, { mode: 0o600 })
}

export async function withdrawRedis(home: string): Promise<void> {
  await rm(urlFile(home), { force: true })
}

/** Runs `work` on REDIS_URL, else on the Redis of the stack that runs in this home. @throws Complaint when neither answers */
export async function withRedis<T>(context: Context, work: (redis: Redis) => Promise<T>): Promise<T> {
  const given = context.settings().REDIS_URL
  const url = given ?? (await readFile(urlFile(homeOf(context)), 'utf8').catch(() => '')).trim()
  if (url === '') throw new Complaint('No Redis runs for this LONGSHORE_HOME. Start Longshore with "npm start", or set REDIS_URL.')
  const redis = connectRedis(url, 'caller', SILENT)
  try {
    await untilReady(redis, READY_MS).catch((error: unknown) => {
      const where = given === undefined ? 'The Redis of this LONGSHORE_HOME' : 'REDIS_URL: the Redis'
      throw new Complaint(`${where} does not answer (${error instanceof Error ? error.message : String(error)}).`, { cause: error })
    })
    return await work(redis)
  } finally {
    redis.disconnect()
  }
}
