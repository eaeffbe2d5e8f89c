import { join } from 'node:path'
import { libraryPath, unpackDebianPackages } from '@longshore/infra'
import { isUsable, type RedisBinary } from './redis-binary.ts'

/**
 * The distribution's own Redis on Debian or Ubuntu, unpacked into a folder: no root, nothing installed.
 * @throws Error where there is no apt, no network, or only a Redis that is too old
 */
export async function unpackRedis(folder: string, env: NodeJS.ProcessEnv): Promise<RedisBinary> {
  // The program itself is in redis-tools.
  const root = await unpackDebianPackages({ names: ['redis-server', 'redis-tools'], folder, source: 'host', env })
  const binary = { path: join(root, 'usr/bin/redis-server'), libraryPath: await libraryPath(root) }
  if (!(await isUsable(binary))) throw new Error('the distribution offers no Redis of version 7 or newer')
  return binary
}
