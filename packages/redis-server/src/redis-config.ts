/** When the append-only file reaches the disk; `off` keeps nothing. */
export type AofSetting = 'always' | 'everysec' | 'off'

export interface RedisSettings {
  readonly port: number
  /** Folder of the data, absolute. */
  readonly dir: string
  readonly aof: AofSetting
  readonly password?: string
  /** Default 127.0.0.1; inside a container every address, of which only loopback is published. */
  readonly bind?: '127.0.0.1' | '0.0.0.0'
}

/** The text of a redis.conf: never evicting (BullMQ and the ledger need every key). */
export function renderRedisConfig({ port, dir, aof, password, bind = '127.0.0.1' }: RedisSettings): string {
  const lines = [
    `bind ${bind}`,
    'protected-mode yes',
    `port ${port}`,
    'daemonize no',
    `dir ${quoted(dir)}`,
    'maxmemory-policy noeviction',
    'save ""',
    // A queued task's record and ticket stay compact with a prompt of this size: a fifth less memory, and faster (bench/README.md).
    'hash-max-listpack-value 1024',
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
