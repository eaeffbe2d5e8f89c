import { createHash } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { type DeploymentId, TaskFailure } from '@longshore/contracts'
import type Docker from 'dockerode'
import { z } from 'zod'
import { LABEL } from './container-spec.ts'
import { engineStatus } from './engine.ts'

/** The network of a deployment's tasks: they reach the host's gateway address, not each other, and the world unless it is closed. */
export interface TaskNetwork { name: string; gateway: string }

/** Which of a deployment's networks: a closed one leads nowhere but to the host, where the egress proxy is. */
export interface WhichNetwork { deployment: DeploymentId; isClosed: boolean }

const Inspected = z.object({ Labels: z.record(z.string(), z.string()).nullable(), Internal: z.boolean(), IPAM: z.object({ Config: z.array(z.object({ Gateway: z.string() })).min(1) }) })

/** Two names: whether a network is closed is settled when it is made, and containers of an earlier setting may be on the other. */
function networkName({ deployment, isClosed }: WhichNetwork): string {
  return `longshore-${deployment}${isClosed ? '.closed' : ''}`
}

/** The kernel's limit for the name of an interface is 15 characters. */
function bridgeName(which: WhichNetwork): string {
  return `ls-${createHash('sha256').update(which.isClosed ? networkName(which) : which.deployment).digest('hex').slice(0, 11)}`
}

/** Whoever lost the race sees the winner's network a moment later. */
const VISIBLE_MS = 5_000
const POLL_MS = 50

/**
 * Makes the network unless it is there. Many tasks and workers do so at once, and the engine makes several networks of
 * one name then, whatever `CheckDuplicate` says; a second bridge of one name it refuses for sure, with 403.
 */
export async function ensureNetwork(docker: Docker, which: WhichNetwork): Promise<TaskNetwork> {
  const name = networkName(which)
  for (const end = performance.now() + VISIBLE_MS; ; await delay(POLL_MS)) {
    try {
      return { name, gateway: await gatewayOf(docker, which) }
    } catch (error) {
      if (engineStatus(error) !== 404 || performance.now() > end) throw error
    }
    const options = { 'com.docker.network.bridge.enable_icc': 'false', 'com.docker.network.bridge.name': bridgeName(which) }
    await docker.createNetwork({ Name: name, Driver: 'bridge', Internal: which.isClosed, CheckDuplicate: true, Options: options, Labels: { [LABEL.deployment]: which.deployment } }).catch((error: unknown) => {
      const status = engineStatus(error)
      if (status !== 403 && status !== 409) throw error
    })
  }
}

/** Removes the network when no container is on it; one that is in use stays. */
export async function removeIdleNetwork(docker: Docker, which: WhichNetwork): Promise<void> {
  await gatewayOf(docker, which).then(() => docker.getNetwork(networkName(which)).remove()).catch((error: unknown) => {
    const status = engineStatus(error)
    if (status !== 403 && status !== 404 && status !== 409) throw error
  })
}

/** @throws TaskFailure when the network of that name is somebody else's (G10) */
async function gatewayOf(docker: Docker, which: WhichNetwork): Promise<string> {
  const { deployment, isClosed } = which
  const name = networkName(which)
  const { Labels, IPAM, Internal } = Inspected.parse(await docker.getNetwork(name).inspect())
  if (Labels?.[LABEL.deployment] !== deployment) throw new TaskFailure('backend_unavailable', `the network ${name} of this engine is not ours (it lacks our label); remove it, or choose another LONGSHORE_DEPLOYMENT`)
  if (Internal !== isClosed) throw new TaskFailure('backend_unavailable', `the network ${name} of this engine is ${Internal ? 'closed' : 'open'}, and must not be; remove it when no container is on it`)
  return IPAM.Config[0]?.Gateway ?? ''
}
