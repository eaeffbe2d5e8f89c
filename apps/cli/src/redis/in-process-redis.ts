import { createServer, type Socket } from 'node:net'
import { attachSession, createRedisCommandExecutor, RedisServerState, SocketConnectionTransport } from 'js-redis-server/core'
import type { RunningRedis } from './private-redis.ts'

/**
 * A Redis written in JavaScript, in this process: it keeps nothing.
 * Put together from its parts, because its own `listen` opens every address of the machine.
 */
export async function startInProcessRedis(password: string): Promise<RunningRedis> {
  const state = new RedisServerState({ databaseCount: 1, requirepass: password })
  const executor = createRedisCommandExecutor()
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.on('close', () => sockets.delete(socket))
    attachSession(new SocketConnectionTransport(socket), { state, executor, logger: { error: () => undefined } })
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the in-process Redis has no port')
  const stop = async (): Promise<void> => {
    const closed = new Promise<void>((resolve) => void server.close(() => resolve()))
    for (const socket of sockets) socket.destroy()
    await closed
    state.close()
  }
  return { port: address.port, stop }
}
