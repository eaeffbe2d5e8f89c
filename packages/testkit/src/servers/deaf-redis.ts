import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** A way to Redis on which no message of pub/sub ever arrives; everything else does. */
export interface DeafRedis {
  url: string
  /** Messages that were dropped. */
  dropped(): number
  stop(): Promise<void>
}

/** A push of a published message, whole, as RESP 2 and 3 write it. */
const MESSAGE = /[*>]3\r\n\$7\r\nmessage\r\n\$\d+\r\n[^\r]*\r\n\$\d+\r\n[^\r]*\r\n/g
/** The longest that can be the beginning of one. */
const BEGINNING = /[*>]3\r\n\$7\r\nmessage\r\n[^]{0,400}$/

/** For G5: who must not miss an event does not depend on being told of it. */
export async function startDeafRedis(redisUrl: string): Promise<DeafRedis> {
  const { hostname, port, pathname } = new URL(redisUrl)
  const sockets = new Set<Socket>()
  let dropped = 0
  const server = createServer((client) => {
    const redis = connect(Number(port), hostname)
    for (const socket of [client, redis]) {
      sockets.add(socket)
      socket.on('error', () => undefined).once('close', () => [client, redis].forEach((one) => one.destroy()))
    }
    client.pipe(redis)
    let held = ''
    redis.on('data', (bytes) => {
      // Bytes as characters, one for one.
      const text = (held + bytes.toString('latin1')).replace(MESSAGE, () => {
        dropped++
        return ''
      })
      held = BEGINNING.exec(text)?.[0] ?? ''
      client.write(Buffer.from(text.slice(0, text.length - held.length), 'latin1'))
    })
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return {
    url: `redis://127.0.0.1:${(server.address() as AddressInfo).port}${pathname}`,
    dropped: () => dropped,
    async stop() {
      const closed = once(server, 'close')
      server.close()
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}
