import { rm } from 'node:fs/promises'
import { connect, createServer, type Server, type Socket } from 'node:net'

/** Stands before an engine's socket, so that one test can take the engine away from its own workers only. */
export interface EngineSwitch {
  /** DOCKER_HOST of who is to meet the engine through this. */
  readonly host: string
  on(): Promise<void>
  off(): Promise<void>
}

/** @param path of the new socket; it is off at first */
export function createEngineSwitch(engineSocket: string, path: string): EngineSwitch {
  const open = new Set<Socket>()
  let server: Server | undefined
  return {
    host: `unix://${path}`,
    async on() {
      server = createServer((client) => {
        const engine = connect(engineSocket)
        for (const [one, other] of [[client, engine], [engine, client]] as const) {
          open.add(one)
          one.pipe(other)
          one.on('error', () => other.destroy()).on('close', () => (open.delete(one), other.destroy()))
        }
      })
      await new Promise<void>((resolve, reject) => server?.once('error', reject).listen(path, resolve))
    },
    async off() {
      const closing = server
      for (const socket of open) socket.destroy()
      if (closing !== undefined) await new Promise<void>((resolve) => closing.close(() => resolve()))
      await rm(path, { force: true })
    },
  }
}
