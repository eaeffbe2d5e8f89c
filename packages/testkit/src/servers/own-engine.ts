import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { devFolder, endProcess, ensureEngine, ensureRunnerImage, isAlive, joinEngineUsers } from '@longshore/infra'

/** A Docker Engine beside the one that all tests share, for a test that takes it away. It has no live-restore: its containers end with it. */
export interface OwnEngine {
  /** In the form of DOCKER_HOST. */
  readonly host: string
  readonly socket: string
  readonly image: string
  /** SIGTERM, as `systemctl stop docker` does: its containers are ended, and stay there as ended ones. */
  stop(): Promise<void>
  start(): Promise<void>
  /** Nobody here needs it any more; the last one stops it. */
  leave(): Promise<void>
}

/** dockerd gives its containers 5 s. */
const STOP_MS = 30_000

/** Starts an engine in a folder of its own, which keeps its images for the next time. For suites under `describeNeeding('dockerd', …)`. */
export async function startOwnEngine(name: string): Promise<OwnEngine> {
  const folder = devFolder(`engine-${name}`)
  // An address where nobody answers: whatever engine this machine has, this one is another.
  const env = { ...process.env, DOCKER_HOST: `unix://${join(folder, 'none.sock')}` }
  const leave = await joinEngineUsers(folder, env)
  const host = await ensureEngine(folder, env)
  const socket = host.slice('unix://'.length)
  const image = await ensureRunnerImage({ dockerHost: host, env: process.env, folder: devFolder('images'), say: (line) => process.stderr.write(`${line}\n`) })
  return {
    host, socket, image, leave,
    async stop() {
      const pid = Number(await readFile(join(dirname(socket), 'dockerd.pid'), 'utf8'))
      if (await isAlive(pid)) await endProcess(pid, STOP_MS)
    },
    start: async () => void (await ensureEngine(folder, env)),
  }
}
