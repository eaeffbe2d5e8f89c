/** When the append-only file reaches the disk; `off` keeps nothing. */
export type AofSetting = 'always' | 'everysec' | 'off'

export interface RedisSettings {
  readonly port: number
  /** Folder of the data, absolute. */
  readonly dir: string
  readonly aof: AofSetting
  readonly password?: string
}

/** The text of a redis.conf: loopback only, never evicting (BullMQ and the ledger need every key). */
export function renderRedisConfig({ port, dir, aof, password }: RedisSettings): string {
  const lines = [
    'bind 127.0.0.1',
    'protected-mode yes',
    `port ${port}`,
    'daemonize no',
    `dir ${quoted(dir)}`,
    'maxmemory-policy noeviction',
    'save ""',
    `appendonly ${aof === 'off' ? 'no' : 'yes'}`,
    ...(aof === 'off' ? [] : [`appendfsync ${aof}`]),
    ...(password === undefined ? [] : [`requirepass ${quoted(password)}`]),
  ]
  return `${lines.join('\n')}\n`
}

function quoted(value: string): string {
  if (/[\r\n\0]/.test(value)) throw new Error(`a Redis setting may not hold a line break: ${JSON.stringify(value)}`)
  return `"${value.replaceAll(/["\\]/g, (character) => `\\${character}`)}"`
}
