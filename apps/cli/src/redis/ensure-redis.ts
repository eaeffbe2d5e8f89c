import { join } from 'node:path'
import { findRedisBinary, unpackRedis } from '@longshore/redis-server'
import { startContainerRedis } from './container-redis.ts'
import { startInProcessRedis } from './in-process-redis.ts'
import { type RunningRedis, startPrivateRedis } from './private-redis.ts'
import { openRedisHome, type RedisHome, redisUrl } from './redis-home.ts'

export interface EnsureRedisOptions {
  /** The stack's folder (LONGSHORE_HOME), which the caller holds; data goes to `<home>/redis`. */
  readonly home: string
  /** REDIS_URL, when the operator set it: it is used as it is. */
  readonly redisUrl?: string | undefined
  /** For PATH, DOCKER_HOST and proxies. */
  readonly env: NodeJS.ProcessEnv
  /** Told in one line what was chosen, and what was tried before. */
  readonly say: (line: string) => void
}

export interface EnsuredRedis {
  /** With the password in it: not for logs. */
  readonly url: string
  /** False when a restart loses every task. */
  readonly keeps: boolean
  /** Ends a Redis that was started here; leaves an operator's alone. Call it last. */
  stop(): Promise<void>
}

/**
 * A Redis for a stack on a machine that may have none: REDIS_URL; a program on PATH; the distribution's package
 * unpacked into the home; a container; at last one inside this process, which keeps nothing.
 * A second start with the same home finds its data.
 * @throws Error when a Redis that is there does not start: falling through would hide its data
 */
export async function ensureRedis(options: EnsureRedisOptions): Promise<EnsuredRedis> {
  if (options.redisUrl !== undefined) return { url: options.redisUrl, keeps: true, stop: () => Promise.resolve() }
  const home = await openRedisHome(options.home)
  const lasting = await startLasting(home, options)
  const running = lasting ?? (await startInProcessRedis(home.password))
  if (lasting === undefined) options.say('WARNING: Redis runs inside this process and keeps nothing: when it stops, all tasks are gone. Install redis-server, or set REDIS_URL.')
  return { url: redisUrl(running.port, home.password), keeps: lasting !== undefined, stop: () => running.stop() }
}

async function startLasting(home: RedisHome, { home: folder, env, say }: EnsureRedisOptions): Promise<RunningRedis | undefined> {
  const installed = await findRedisBinary(env['PATH'])
  if (installed !== undefined) {
    say(`Redis: ${installed.path}, data in ${home.dir}`)
    return startPrivateRedis(installed, home)
  }
  say('Redis: none on PATH, getting the distribution\'s package')
  const unpacked = await orSay(unpackRedis(join(folder, 'packages/redis'), env), say)
  if (unpacked !== undefined) {
    say(`Redis: ${unpacked.path}, data in ${home.dir}`)
    return startPrivateRedis(unpacked, home)
  }
  say(`Redis: trying a container, data in ${home.dir}`)
  return orSay(startContainerRedis(home, env), say)
}

async function orSay<T>(work: Promise<T>, say: (line: string) => void): Promise<T | undefined> {
  try {
    return await work
  } catch (error) {
    say(`Redis: not that way: ${error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error)}`)
    return undefined
  }
}
