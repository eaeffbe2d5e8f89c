import type { DeploymentId } from '@longshore/contracts'
import type Docker from 'dockerode'
import { z } from 'zod'
import { LABEL } from './container-spec.ts'
import { engineStatus } from './engine.ts'

/** The network of a deployment's tasks: they reach the world and the host's gateway address, not each other. */
export interface TaskNetwork { name: string; gateway: string }

const Inspected = z.object({ IPAM: z.object({ Config: z.array(z.object({ Gateway: z.string() })).min(1) }) })

function networkName(deployment: DeploymentId): string {
  return `longshore-${deployment}`
}

/** Makes the network unless it is there; two workers may do so at once. */
export async function ensureNetwork(docker: Docker, deployment: DeploymentId): Promise<TaskNetwork> {
  const name = networkName(deployment)
  try {
    return { name, gateway: await gatewayOf(docker, name) }
  } catch (error) {
    if (engineStatus(error) !== 404) throw error
  }
  const options = { 'com.docker.network.bridge.enable_icc': 'false' }
  await docker.createNetwork({ Name: name, Driver: 'bridge', CheckDuplicate: true, Options: options, Labels: { [LABEL.deployment]: deployment } }).catch((error: unknown) => {
    if (engineStatus(error) !== 409) throw error
  })
  return { name, gateway: await gatewayOf(docker, name) }
}

/** Removes the network when no container is on it; one that is in use stays. */
export async function removeIdleNetwork(docker: Docker, deployment: DeploymentId): Promise<void> {
  await docker.getNetwork(networkName(deployment)).remove().catch((error: unknown) => {
    const status = engineStatus(error)
    if (status !== 403 && status !== 404 && status !== 409) throw error
  })
}

async function gatewayOf(docker: Docker, name: string): Promise<string> {
  const inspected = Inspected.parse(await docker.getNetwork(name).inspect())
  return inspected.IPAM.Config[0]?.Gateway ?? ''
}
