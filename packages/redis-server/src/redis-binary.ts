import { execFile } from 'node:child_process'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'

/** A server program that can be started. */
export interface RedisBinary {
  readonly path: string
  /** Folders for LD_LIBRARY_PATH, when the program was unpacked instead of installed. */
  readonly libraryPath?: string
}

const NAMES = ['redis-server', 'valkey-server']

/** The ledger's Lua and `appendfsync` semantics are tested from here on. */
const LEAST_MAJOR = 7

/**
 * The first `redis-server`, else `valkey-server`, of a search path that is new enough.
 * @param searchPath the value of PATH
 */
export async function findRedisBinary(searchPath: string | undefined): Promise<RedisBinary | undefined> {
  const folders = (searchPath ?? '').split(delimiter).filter((folder) => folder !== '')
  for (const path of NAMES.flatMap((name) => folders.map((folder) => join(folder, name)))) {
    if (await isUsable({ path })) return { path }
  }
  return undefined
}

/** Whether the program runs here and is new enough: an unpacked one may miss a library. */
export async function isUsable({ path, libraryPath }: RedisBinary): Promise<boolean> {
  try {
    const env = libraryPath === undefined ? {} : { LD_LIBRARY_PATH: libraryPath }
    const { stdout } = await promisify(execFile)(path, ['--version'], { env, timeout: 30_000 })
    return Number(/\bv=(\d+)\./.exec(stdout)?.[1]) >= LEAST_MAJOR
  } catch {
    return false
  }
}
