import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { freePort, renderRedisConfig, runningRedisPid } from '@longshore/redis-server'
import type { RunningRedis } from './private-redis.ts'
import type { RedisHome } from './redis-home.ts'

const IMAGE = 'redis:7-alpine'
const START_MS = 30_000

/**
 * Runs Redis in a container on this home's data, published on loopback only.
 * A container that an earlier start left is replaced: with every write on disk, ending it loses nothing.
 * @throws Error when no engine answers or the image cannot be had
 */
export async function startContainerRedis({ dir, password }: RedisHome, env: NodeJS.ProcessEnv, image = IMAGE): Promise<RunningRedis> {
  const docker = (...words: string[]): Promise<unknown> => promisify(execFile)('docker', words, { env })
  const name = `longshore-redis-${createHash('sha256').update(dir).digest('hex').slice(0, 12)}`
  const port = await freePort()
  await writeFile(join(dir, 'redis.conf'), renderRedisConfig({ port: 6379, dir: '/data', aof: 'always', password, bind: '0.0.0.0' }), { mode: 0o600 })
  await docker('rm', '--force', name).catch(() => undefined)
  const user = process.getuid === undefined ? [] : ['--user', `${process.getuid()}:${process.getgid?.() ?? 0}`]
  const sandbox = ['--cap-drop=ALL', '--security-opt=no-new-privileges', '--read-only']
  await docker('run', '--detach', '--name', name, ...user, ...sandbox, `--publish=127.0.0.1:${port}:6379`, `--volume=${dir}:/data`, image, 'redis-server', '/data/redis.conf')
  const stop = async (): Promise<void> => {
    await docker('stop', '--time=10', name)
    await docker('rm', '--force', name)
  }
  if (await answers(port, password)) return { port, stop }
  await stop()
  throw new Error(`Redis in a container of ${image} does not answer`)
}

async function answers(port: number, password: string): Promise<boolean> {
  const deadline = performance.now() + START_MS
  while (performance.now() < deadline) {
    if ((await runningRedisPid(port, password)) !== undefined) return true
    await sleep(100)
  }
  return false
}
