import { createHash } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { type DeploymentId, TaskFailure } from '@longshore/contracts'
import type Docker from 'dockerode'
import { z } from 'zod'
import { LABEL } from './container-spec.ts'
import { engineStatus } from './engine.ts'

/** The network of a deployment's tasks: they reach the world and the host's gateway address, not each other. */
export interface TaskNetwork { name: string; gateway: string }

const Inspected = z.object({ Labels: z.record(z.string(), z.string()).nullable(), IPAM: z.object({ Config: z.array(z.object({ Gateway: z.string() })).min(1) }) })

function networkName(deployment: DeploymentId): string {
  return `longshore-${deployment}`
}

/** The kernel's limit for the name of an interface is 15 characters. */
function bridgeName(deployment: DeploymentId): string {
  return `ls-${createHash('sha256').update(deployment).digest('hex').slice(0, 11)}`
}

/** Whoever lost the race sees the winner's network a moment later. */
const VISIBLE_MS = 5_000
const POLL_MS = 50

/**
 * Makes the network unless it is there. Many tasks and workers do so at once, and the engine makes several networks of
 * one name then, whatever `CheckDuplicate` says; a second bridge of one name it refuses for sure, with 403.
 */
export async function ensureNetwork(docker: Docker, deployment: DeploymentId): Promise<TaskNetwork> {
  const name = networkName(deployment)
  for (const end = performance.now() + VISIBLE_MS; ; await delay(POLL_MS)) {
    try {
      return { name, gateway: await gatewayOf(docker, deployment) }
    } catch (error) {
      if (engineStatus(error) !== 404 || performance.now() > end) throw error
    }
    const options = { 'com.docker.network.bridge.enable_icc': 'false', 'com.docker.network.bridge.name': bridgeName(deployment) }
    await docker.createNetwork({ Name: name, Driver: 'bridge', CheckDuplicate: true, Options: options, Labels: { [LABEL.deployment]: deployment } }).catch((error: unknown) => {
      const status = engineStatus(error)
      if (status !== 403 && status !== 409) throw error
    })
  }
}

/** Removes the network when no container is on it; one that is in use stays. */
export async function removeIdleNetwork(docker: Docker, deployment: DeploymentId): Promise<void> {
  await gatewayOf(docker, deployment).then(() => docker.getNetwork(networkName(deployment)).remove()).catch((error: unknown) => {
    const status = engineStatus(error)
    if (status !== 403 && status !== 404 && status !== 409) throw error
  })
}

/** @throws TaskFailure when the network of that name is somebody else's (G10) */
async function gatewayOf(docker: Docker, deployment: DeploymentId): Promise<string> {
  const name = networkName(deployment)
  const { Labels, IPAM } = Inspected.parse(await docker.getNetwork(name).inspect())
  if (Labels?.[LABEL.deployment] !== deployment) throw new TaskFailure('backend_unavailable', `the network ${name} of this engine is not ours (it lacks our label); remove it, or choose another LONGSHORE_DEPLOYMENT`)
  return IPAM.Config[0]?.Gateway ?? ''
}
