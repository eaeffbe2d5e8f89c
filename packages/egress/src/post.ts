import type { DeploymentId } from '@longshore/contracts'
import type { Redis } from 'ioredis'
import { z } from 'zod'
import { egressKeys } from './keys.ts'

const Port = z.coerce.number().int().min(1).max(65_535)

/** Who serves an address. The port stays when nobody does: containers that run know it. */
const Post = z.object({
  /** Process id and a random name; empty: nobody. */
  instance: z.string(),
  port: Port,
  fingerprint: z.string(),
  since: z.coerce.number().int(),
})
export type Post = z.infer<typeof Post>

/** Which proxy serves an address: who wrote last does, and all others leave when what they have open is over. */
export interface Posts {
  /** undefined: no proxy was ever there. */
  read(): Promise<Post | undefined>
  /** Whether the caller is the one that starts a proxy now: two that start at once would take connections from each other. */
  mayLaunch(): Promise<boolean>
  hasLaunched(): Promise<void>
  /** The port that agents are told, or will be; `mine` where there was none. Of many that start at once all get the same answer. */
  agree(mine: number): Promise<number>
  take(post: Post): Promise<void>
  /** Nobody serves it any more; the port is kept. */
  vacate(): Promise<void>
}

/** Whoever was to start one and died keeps the others waiting for no longer. */
const LAUNCH_MS = 5_000

export function postAt(redis: Redis, deployment: DeploymentId, address: string): Posts {
  const keys = egressKeys(deployment)
  const [key, launch] = [keys.proxy(address), keys.launch(address)]
  return {
    mayLaunch: async () => (await redis.set(launch, '1', 'PX', LAUNCH_MS, 'NX')) === 'OK',
    hasLaunched: async () => void (await redis.del(launch)),
    read: async () => Post.safeParse(await redis.hgetall(key)).data,
    agree: async (mine) => {
      await redis.hsetnx(key, 'port', mine)
      return Port.parse(await redis.hget(key, 'port'))
    },
    take: async (post) => void (await redis.hset(key, post)),
    vacate: async () => {
      if ((await redis.exists(key)) === 1) await redis.hset(key, 'instance', '')
    },
  }
}

/** Whether a proxy with these rules is to take the place of the one that serves. */
export function mustReplace(post: Post | undefined, mine: Pick<Post, 'fingerprint' | 'since'>): boolean {
  return post === undefined || post.instance === '' || (post.fingerprint !== mine.fingerprint && post.since < mine.since)
}
