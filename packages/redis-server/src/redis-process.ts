import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, open, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { RedisBinary } from './redis-binary.ts'
import { renderRedisConfig, type RedisSettings } from './redis-config.ts'
import { runningRedisPid } from './running-redis.ts'

export interface StartRedisProcessOptions extends RedisSettings {
  readonly binary: RedisBinary
  /** How long loading may take before the start counts as failed (ms). Default 30 s. */
  readonly startTimeoutMs?: number
}

export interface RedisProcess {
  readonly pid: number
  /** Settles when the process is gone, whoever ended it. */
  readonly exited: Promise<void>
  /** SIGTERM: Redis syncs its file and leaves; SIGKILL after 10 s. */
  stop(): Promise<void>
  /** SIGKILL, at once. */
  kill9(): void
}

const STOP_MS = 10_000

/**
 * Starts a Redis on 127.0.0.1 and waits until it has loaded its data.
 * It runs in its own process group, so that Ctrl-C reaches it only through `stop`, after the programs that use it.
 * The password stands in a 0600 file, never in the process list.
 * @throws Error with the end of its log when it does not come up
 */
export async function startRedisProcess(options: StartRedisProcessOptions): Promise<RedisProcess> {
  await mkdir(options.dir, { recursive: true, mode: 0o700 })
  const child = await launch(options)
  // With no error listener a missing program would be an uncaught exception; `exited` tells the same.
  const exited = new Promise<void>((resolve) => {
    child.once('exit', () => resolve())
    child.once('error', () => resolve())
  })
  if (child.pid === undefined) {
    const [error] = (await once(child, 'error').catch((cause: unknown) => [cause])) as [unknown]
    throw new Error(`${options.binary.path} does not start`, { cause: error })
  }
  const stop = (): Promise<void> => end(child, exited)
  if (!(await isUp(child, options))) {
    await stop()
    throw new Error(`${options.binary.path} did not come up on port ${options.port}:\n${await logTail(options.dir)}`)
  }
  child.unref()
  return { pid: child.pid, exited, stop, kill9: () => void child.kill('SIGKILL') }
}

async function launch({ binary, ...settings }: StartRedisProcessOptions): Promise<ChildProcess> {
  const config = join(settings.dir, 'redis.conf')
  await writeFile(config, renderRedisConfig(settings), { mode: 0o600 })
  const log = await open(join(settings.dir, 'redis.log'), 'w', 0o600)
  try {
    return spawn(binary.path, [config], {
      cwd: settings.dir,
      detached: true,
      stdio: ['ignore', log.fd, log.fd],
      env: binary.libraryPath === undefined ? {} : { LD_LIBRARY_PATH: binary.libraryPath },
    })
  } finally {
    await log.close()
  }
}

async function isUp(child: ChildProcess, { port, password, startTimeoutMs = 30_000 }: StartRedisProcessOptions): Promise<boolean> {
  const deadline = performance.now() + startTimeoutMs
  while (isRunning(child) && performance.now() < deadline) {
    if ((await runningRedisPid(port, password)) === child.pid) return true
    await sleep(20)
  }
  return false
}

function isRunning(child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null
}

async function end(child: ChildProcess, exited: Promise<void>): Promise<void> {
  if (!isRunning(child)) return
  child.kill('SIGCONT')
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
  child.ref()
  await exited
  clearTimeout(timer)
}

async function logTail(dir: string): Promise<string> {
  const log = await readFile(join(dir, 'redis.log'), 'utf8').catch(() => '')
  return log.split('\n').slice(-8).join('\n').trim()
}
