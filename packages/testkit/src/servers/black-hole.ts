import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** A network between somebody and a server that can lose every packet: nothing arrives, nothing is closed, nobody is told. */
export interface BlackHole {
  /** Where to connect instead of the server's own port. */
  readonly port: number
  /** From now on nothing passes, in either direction; new connections are taken and never answered. */
  open(): void
  /** What was sent meanwhile arrives now, late, as after a network's recovery. */
  close(): void
  stop(): Promise<void>
}

/** @param target the server's port on 127.0.0.1 */
export async function startBlackHole(target: number): Promise<BlackHole> {
  const sockets = new Set<Socket>()
  let isOpen = false
  const server = createServer((client) => {
    const upstream = connect(target, '127.0.0.1')
    for (const [from, to] of [[client, upstream], [upstream, client]] as const) {
      sockets.add(from)
      // A paused socket is not read: its end is not seen either, and who writes to it fills the kernel's buffers and waits.
      if (isOpen) from.pause()
      from.setNoDelay(true)
      from.on('data', (chunk: Buffer) => void to.write(chunk)).on('end', () => to.end())
      from.on('error', () => to.destroy()).on('close', () => (sockets.delete(from), to.destroy()))
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    open() {
      isOpen = true
      for (const socket of sockets) socket.pause()
    },
    close() {
      isOpen = false
      for (const socket of sockets) socket.resume()
    },
    async stop() {
      const closed = once(server, 'close')
      server.close()
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}
