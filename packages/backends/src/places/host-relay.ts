import { createSocket } from 'node:dgram'
import { connect, createServer } from 'node:net'
import { z } from 'zod'

// The relay of a deployment's task network, as a process of its own: `node host-relay.ts DEPLOYMENT GATEWAY HOST PORT`.
// It outlives the worker that started it, so that the death of a worker cuts off no agent in the middle of a model's answer (G7).
// It ends with the network, whose gateway address it listens on, and when nobody has needed it for an hour.

const [, gateway, host, port] = z.tuple([z.string(), z.ipv4(), z.string(), z.coerce.number().int().min(1).max(65_535)]).parse(process.argv.slice(2))

const LOOK_EVERY_MS = 250
const IDLE_MS = 60 * 60_000

let open = 0
let neededAt = performance.now()

const server = createServer((incoming) => {
  const outgoing = connect(port, host)
  neededAt = performance.now()
  open += 1
  incoming.once('close', () => {
    open -= 1
    neededAt = performance.now()
  })
  for (const [from, to] of [[incoming, outgoing], [outgoing, incoming]] as const) {
    from.on('error', () => to.destroy()).on('close', () => to.destroy())
    from.pipe(to)
  }
})
// Another worker was faster: its relay serves all.
server.once('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EADDRINUSE' ? 0 : 1))
server.listen(port, gateway, () => {
  setInterval(() => {
    // By trying to use its address: a bridge on which no container is yet does not count as an interface that is up, and then the next task's agent would find nobody here.
    const socket = createSocket('udp4').once('error', ({ code }: NodeJS.ErrnoException) => (code === 'EADDRNOTAVAIL' ? process.exit(0) : socket.close()))
    socket.bind(0, gateway, () => socket.close())
    if (open === 0 && performance.now() - neededAt > IDLE_MS) process.exit(0)
  }, LOOK_EVERY_MS)
})
