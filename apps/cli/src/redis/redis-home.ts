import { randomBytes } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** Where a stack's own Redis lives: data and password, for its user only. */
export interface RedisHome {
  readonly dir: string
  readonly password: string
}

/** Opens or makes `<home>/redis`; the password is made once and stays with the data. */
export async function openRedisHome(home: string): Promise<RedisHome> {
  const dir = join(home, 'redis')
  await mkdir(dir, { recursive: true, mode: 0o700 })
  const file = join(dir, 'password')
  const made = randomBytes(24).toString('base64url')
  await writeFile(file, made, { mode: 0o600, flag: 'wx' }).catch(ignoreExisting)
  return { dir, password: (await readFile(file, 'utf8')).trim() }
}

export function redisUrl(port: number, password: string): string {
  return `redis://:${password}@127.0.0.1:${port}`
}

function ignoreExisting(error: unknown): void {
  if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
}
