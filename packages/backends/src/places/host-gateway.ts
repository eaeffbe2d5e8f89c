import { type ChildProcess, spawn } from 'node:child_process'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type DeploymentId, type Log, TaskFailure } from '@longshore/contracts'

/**
 * Lets task containers reach one service of the host that listens on loopback only: a relay on the task network's gateway address,
 * on the service's own port. Whoever is not on that network cannot reach it, and the service checks its bearer token besides.
 * The relay is a process of its own, one for all workers of a host: see host-relay.ts.
 */
export interface HostGateway {
  /** Makes sure that somebody relays at `gateway`. @throws TaskFailure when nobody can */
  open(gateway: string): Promise<void>
}

const START_MS = 10_000
const POLL_MS = 20

/** @param target what the relay leads to */
export function createHostGateway(deployment: DeploymentId, target: { host: string; port: number }, log: Log): HostGateway {
  let opening: Promise<void> | undefined
  const open = async (gateway: string): Promise<void> => {
    if (await answers(gateway, target.port)) return
    const relay = spawnRelay(deployment, gateway, target)
    for (const end = performance.now() + START_MS; !(await answers(gateway, target.port)); await delay(POLL_MS)) {
      if (relay.exitCode === 1 || performance.now() > end) throw new TaskFailure('backend_unavailable', `nothing relays at ${gateway}:${target.port} to the service on this host's loopback`)
    }
    log.debug({ gateway, port: target.port, pid: relay.pid }, 'relaying for the task network')
  }
  return {
    // Many tasks open it at the same moment.
    open: (gateway) => opening ??= open(gateway).finally(() => { opening = undefined }),
  }
}

/** It inherits nothing, least of all secrets, and is in no group that is ended with this worker's. */
function spawnRelay(deployment: DeploymentId, gateway: string, { host, port }: { host: string; port: number }): ChildProcess {
  const words = [join(import.meta.dirname, 'host-relay.ts'), deployment, gateway, host, String(port)]
  const child = spawn(process.execPath, words, { detached: true, stdio: 'ignore', cwd: '/', env: {} })
  child.once('error', () => {}) // then nobody answers, and `open` says so
  child.unref()
  return child
}

async function answers(gateway: string, port: number): Promise<boolean> {
  const socket = connect(port, gateway)
  return new Promise<boolean>((resolve) => {
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
  }).finally(() => socket.destroy())
}
