import { connect, type Socket } from 'node:net'
import type { Pass } from './grants.ts'
import { judge } from './judge.ts'
import { Refused } from './refused.ts'
import { addressesOf, pinned } from './resolve.ts'
import { spell, type Target } from './target.ts'
import { noting, type Way } from './way.ts'

const CONNECT_MS = 30_000
const PROBE_MS = 30_000

/** A tunnel, until one side leaves or the token is worth nothing any more. @throws Refused */
export function openTunnel(way: Way, socket: Socket, head: Buffer, pass: Pass, target: Target): Promise<void> {
  return noting(way, pass, async () => {
    const isListed = judge(pass.network, way.allow, target)
    const addresses = await addressesOf(target, way.resolve, isListed ? way.ranges : [])
    const entry = way.open.add(pass, spell(target), () => socket.destroy())
    socket.once('close', entry.done)
    if (socket.destroyed) return entry.done()
    const outgoing = connect({ host: target.host, port: target.port, lookup: pinned(addresses), allowHalfOpen: true })
    socket.once('close', () => outgoing.destroy())
    outgoing.once('close', () => socket.destroySoon())
    try {
      await connected(outgoing)
    } catch {
      entry.done()
      outgoing.removeAllListeners('close')
      throw new Refused('unreachable', spell(target), `${spell(target)} does not answer`)
    }
    outgoing.on('error', () => outgoing.destroy())
    for (const one of [socket, outgoing]) one.setKeepAlive(true, PROBE_MS)
    socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
    if (head.length > 0) outgoing.write(head)
    socket.pipe(outgoing)
    outgoing.pipe(socket)
  })
}

async function connected(outgoing: Socket): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => outgoing.destroy(new Error('no connection in time')), CONNECT_MS)
    outgoing.once('connect', resolve).on('error', reject).once('connect', () => clearTimeout(timer)).once('close', () => clearTimeout(timer))
  })
}
