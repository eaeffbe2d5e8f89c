import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { endProcess } from '@longshore/infra'
import { freePort, type RedisBinary, runningRedisPid, startRedisProcess } from '@longshore/redis-server'
import { z } from 'zod'
import type { RedisHome } from './redis-home.ts'

/** A Redis that this stack runs. */
export interface RunningRedis {
  readonly port: number
  stop(): Promise<void>
}

const Running = z.object({ pid: z.int().positive(), port: z.int().positive() })
type Running = z.infer<typeof Running>

/** Somebody else may take the free port first. */
const PORT_TRIES = 3
/** SIGTERM makes Redis sync its file; a large one takes a while. */
const STOP_MS = 10_000

/**
 * Starts a Redis on this home's data, every write on disk before its answer (G1).
 * One that still runs there, because the last `longshore up` was killed, is taken over.
 * The caller holds the home: two Redis on one data folder would destroy it.
 */
export async function startPrivateRedis(binary: RedisBinary, { dir, password }: RedisHome): Promise<RunningRedis> {
  const left = await stillRunning({ dir, password })
  if (left !== undefined) return { port: left.port, stop: () => endProcess(left.pid, STOP_MS) }
  for (let tryNumber = 1; ; tryNumber++) {
    const port = await freePort()
    try {
      const server = await startRedisProcess({ binary, port, dir, password, aof: 'always' })
      await writeFile(stateFile(dir), JSON.stringify({ pid: server.pid, port } satisfies Running), { mode: 0o600 })
      return { port, stop: () => server.stop() }
    } catch (error) {
      if (tryNumber === PORT_TRIES || !String(error).includes('Address already in use')) throw error
    }
  }
}

// Pid, port and password must agree: the pid in the file may be another program's by now.
async function stillRunning({ dir, password }: RedisHome): Promise<Running | undefined> {
  const state = Running.safeParse(await readState(dir)).data
  return state !== undefined && (await runningRedisPid(state.port, password)) === state.pid ? state : undefined
}

async function readState(dir: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(stateFile(dir), 'utf8'))
  } catch {
    return undefined
  }
}

function stateFile(dir: string): string {
  return join(dir, 'running.json')
}
