import { createServer, connect, type Server, type Socket } from 'node:net'
import type { Log } from '@longshore/contracts'

/**
 * Lets task containers reach one service of the host that listens on loopback only: a relay on the task network's gateway address,
 * on the service's own port. Whoever is not on that network cannot reach it, and the service checks its bearer token besides.
 * Another worker of this host may hold the address; then this one takes over when that one is gone.
 */
export interface HostGateway {
  /** Makes sure that somebody relays at `gateway`; resolves when this or another worker does. */
  open(gateway: string): Promise<void>
  close(): Promise<void>
}

const TAKEOVER_MS = 1_000

export function createHostGateway(target: { host: string; port: number }, log: Log): HostGateway {
  const sockets = new Set<Socket>()
  let current: { gateway: string; server: Server; ready: Promise<void> } | undefined
  let retry: NodeJS.Timeout | undefined
  let standsBy = false

  function note(isRelayedElsewhere: boolean, gateway: string): void {
    if (standsBy === isRelayedElsewhere) return
    standsBy = isRelayedElsewhere
    log.debug({ gateway, port: target.port }, standsBy ? 'another worker relays for the task network; standing by' : 'relaying for the task network')
  }

  function relay(incoming: Socket): void {
    const outgoing = connect(target)
    for (const [from, to] of [[incoming, outgoing], [outgoing, incoming]] as const) {
      sockets.add(from)
      from.on('error', () => to.destroy())
      from.on('close', () => {
        sockets.delete(from)
        to.destroy()
      })
      from.pipe(to)
    }
  }

  function open(gateway: string): Promise<void> {
    if (current?.gateway === gateway) return current.ready
    const stopped = shut()
    const server = createServer(relay)
    const ready = stopped.then(() => listen(server, gateway))
    current = { gateway, server, ready } // at once: many tasks open it at the same moment
    return ready
  }

  async function listen(server: Server, gateway: string): Promise<void> {
    const code = await new Promise<string | undefined>((resolve) => {
      server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
      server.listen(target.port, gateway, () => resolve(undefined))
    })
    if (code === undefined) return note(false, gateway)
    if (current?.server === server) current = undefined
    if (code !== 'EADDRINUSE') throw new Error(`cannot listen on the task network's gateway ${gateway}:${target.port}: ${code}`)
    note(true, gateway)
    retry = setTimeout(() => void open(gateway).catch((error: unknown) => log.warn({ err: error }, 'cannot take over the relay for the task network')), TAKEOVER_MS)
    retry.unref()
  }

  async function shut(): Promise<void> {
    const last = current
    current = undefined
    await last?.ready.catch(() => {}) // whoever opened it hears of it
    clearTimeout(retry)
    for (const socket of sockets) socket.destroy()
    if (last !== undefined) await new Promise((resolve) => { last.server.close(resolve) })
  }

  return { open, close: shut }
}
