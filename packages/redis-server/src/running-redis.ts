import { connect } from 'node:net'

/** One try may take this long (ms): loopback answers in microseconds unless the server is stalled. */
const TRY_MS = 1_000

/**
 * The process id of the Redis that answers on 127.0.0.1 to this password and has loaded its data.
 * The id, not a PONG: another server may sit on the port.
 * @returns undefined for everything else: nobody there, still loading, another password
 */
export function runningRedisPid(port: number, password?: string): Promise<number | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port })
    let answer = ''
    const done = (pid?: number): void => {
      socket.destroy()
      resolve(pid)
    }
    socket.setTimeout(TRY_MS, () => done())
    socket.on('error', () => done())
    socket.on('close', () => done())
    socket.on('connect', () => socket.write(`${password === undefined ? '' : command('AUTH', password)}${command('INFO')}`))
    socket.on('data', (chunk) => {
      answer += chunk.toString('latin1')
      if (answer.startsWith('-') || answer.includes('\r\n-')) done()
      else if (answer.includes('\r\n# Keyspace')) done(readPid(answer))
    })
  })
}

function readPid(info: string): number | undefined {
  if (!/^loading:0\r$/m.test(info)) return undefined
  const pid = /^process_id:(\d+)\r$/m.exec(info)?.[1]
  return pid === undefined ? undefined : Number(pid)
}

function command(...words: string[]): string {
  return `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')}`
}
