import { readdir, readFile } from 'node:fs/promises'

import type { TaskId } from '@longshore/contracts'
import Docker from 'dockerode'

/** Asks whether a task has a process on this machine, in a container or not, or a container on the engine; its home is in the environment of each. */
export function createLook(engineHost: string): (id: TaskId) => Promise<boolean> {
  const docker = new Docker({ socketPath: engineHost.replace('unix://', '') })
  return async (id) => {
    const [containers, running] = await Promise.all([docker.listContainers({ all: true, filters: { label: [`longshore.task=${id}`] } }), hasProcess(id)])
    return containers.length > 0 || running
  }
}

async function hasProcess(id: TaskId): Promise<boolean> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const environments = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/environ`, 'latin1').catch(() => '')))
  return environments.some((environment) => environment.includes(id))
}
