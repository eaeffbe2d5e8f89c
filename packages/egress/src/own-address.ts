import { createSocket } from 'node:dgram'
import { isIPv6 } from 'node:net'

/** Whether an address is one of this machine, by trying to use it: a bridge on which no container is yet does not count as an interface that is up. */
export async function isOwnAddress(address: string): Promise<boolean> {
  const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4')
  return new Promise<boolean>((resolve) => {
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'EADDRNOTAVAIL')).bind(0, address, () => resolve(true))
  }).finally(() => socket.close())
}
