import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type AofSetting, freePort, type RedisProcess, startRedisProcess } from '@longshore/redis-server'
import { dieWithUs } from './die-with-us.ts'
import { testRedisBinary } from './redis-binary.ts'

export interface StartRedisOptions {
  /** Default `off`: most tests need no disk. */
  readonly aof?: AofSetting
  /** Default: a free one. */
  readonly port?: number
  /** Data folder; a given one is kept by `stop`. Default: a temporary one. */
  readonly dir?: string
  readonly password?: string
}

/** A real Redis of one test. */
export interface RedisServer {
  readonly url: string
  readonly port: number
  readonly dir: string
  /** Of the process that runs now; changes with `restart`. */
  readonly pid: number
  /** SIGKILL, as a power cut would; resolves when it is gone. */
  kill9(): Promise<void>
  /** Same port, same data: after `kill9`, or a graceful stop first. */
  restart(): Promise<void>
  /** SIGSTOP: connections stay open and nobody answers; goes on after `ms` or at `cont`. */
  stall(ms?: number): void
  cont(): void
  /** Ends it and removes a temporary folder. */
  stop(): Promise<void>
}

/** Two test files may be given the same free port. */
const PORT_TRIES = 3

/** Starts a Redis of its own for a test that kills, stalls or restarts it; others share one (`sharedRedisUrl`). */
export async function startRedis(options: StartRedisOptions = {}): Promise<RedisServer> {
  const dir = options.dir ?? (await mkdtemp(join(tmpdir(), 'longshore-redis-')))
  const launch = await launcher(options, dir)
  const first = await firstStart(launch, options.port)
  return keep(first, () => launch(first.port), { dir, isTemporary: options.dir === undefined, password: options.password })
}

type Launch = (port: number) => Promise<RedisProcess>

async function launcher({ aof = 'off', password }: StartRedisOptions, dir: string): Promise<Launch> {
  const binary = await testRedisBinary()
  return (port) => startRedisProcess({ binary, port, dir, aof, ...(password === undefined ? {} : { password }) })
}

async function firstStart(launch: Launch, given: number | undefined): Promise<{ port: number; process: RedisProcess }> {
  for (let tryNumber = 1; ; tryNumber++) {
    const port = given ?? (await freePort())
    try {
      return { port, process: await launch(port) }
    } catch (error) {
      if (given !== undefined || tryNumber === PORT_TRIES) throw error
    }
  }
}

interface Keeping {
  readonly dir: string
  readonly isTemporary: boolean
  readonly password: string | undefined
}

function keep(first: { port: number; process: RedisProcess }, again: () => Promise<RedisProcess>, { dir, isTemporary, password }: Keeping): RedisServer {
  let current = first.process
  const auth = password === undefined ? '' : `:${encodeURIComponent(password)}@`
  const signal = (name: NodeJS.Signals): void => void process.kill(current.pid, name)
  let unguard = dieWithUs(current.pid)
  return {
    url: `redis://${auth}127.0.0.1:${first.port}`,
    port: first.port,
    dir,
    get pid() {
      return current.pid
    },
    async kill9() {
      unguard()
      current.kill9()
      await current.exited
    },
    async restart() {
      unguard()
      await current.stop()
      current = await again()
      unguard = dieWithUs(current.pid)
    },
    stall(ms) {
      signal('SIGSTOP')
      if (ms !== undefined) setTimeout(() => signal('SIGCONT'), ms)
    },
    cont: () => signal('SIGCONT'),
    async stop() {
      unguard()
      await current.stop()
      if (isTemporary) await rm(dir, { recursive: true, force: true })
    },
  }
}
